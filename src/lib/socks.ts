/** Connections through a SOCKS 5 proxy (RFC 1928, RFC 1929). The proxy resolves names, also with "socks5", as Go's net/http has it. */
import type { Socket } from "node:net";
import { ipToBytes, parseIp } from "./ip.ts";

const version = 5;
const noAuthentication = 0;
const password = 2;
const connectCommand = 1;
const defaultPort = 1080;
/** By the number of a reply. */
const refusals = ["", "general SOCKS server failure", "connection not allowed by ruleset", "network unreachable", "host unreachable", "connection refused", "TTL expired", "command not supported", "address type not supported"];

export const isSocks = (proxy: string): boolean => /^socks5h?:\/\//i.test(proxy);

export interface SocksTarget {
  host: string;
  port: number;
}

/** A socket that is connected to the target. Fails with what the proxy says, never with its password. */
export async function connectBySocks(proxy: URL, target: SocksTarget, milliseconds: number): Promise<Socket> {
  const socket = process.getBuiltinModule("node:net").connect({ host: proxy.hostname.replace(/^\[|\]$/g, ""), port: Number(proxy.port || defaultPort) });
  const timer = setTimeout(() => socket.destroy(Object.assign(new Error("i/o timeout"), { code: "ETIMEDOUT" })), milliseconds);
  try {
    await agree(socket, { proxy, target });
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function agree(socket: Socket, { proxy, target }: { proxy: URL; target: SocksTarget }): Promise<void> {
  const read = reader(socket);
  const named = proxy.username !== "";
  socket.write(Buffer.from(named ? [version, 2, noAuthentication, password] : [version, 1, noAuthentication]));
  const [answered, method] = await read(2);
  if (answered !== version) throw broken("the proxy does not speak SOCKS 5");
  if (method === password && named) await authenticate(socket, read, proxy);
  else if (method !== noAuthentication) throw broken("no acceptable authentication methods");
  socket.write(Buffer.concat([Buffer.from([version, connectCommand, 0]), addressOf(target.host), Buffer.from([target.port >> 8, target.port & 255])]));
  const [, status = 1, , kind] = await read(4);
  if (status !== 0) throw broken(refusals[status] ?? `unknown reply ${status}`);
  const length = kind === 1 ? 4 : kind === 4 ? 16 : ((await read(1))[0] ?? 0);
  await read(length + 2);
}

async function authenticate(socket: Socket, read: (bytes: number) => Promise<Buffer>, { username, password: secret }: URL): Promise<void> {
  const [name, word] = [username, secret].map((text) => Buffer.from(decodeURIComponent(text)));
  if (!name || !word || name.length > 255 || word.length > 255) throw broken("invalid username/password");
  socket.write(Buffer.concat([Buffer.from([1, name.length]), name, Buffer.from([word.length]), word]));
  const [, status] = await read(2);
  if (status !== 0) throw broken("username/password authentication failed");
}

function addressOf(host: string): Buffer {
  const address = parseIp(host);
  if (address) return Buffer.concat([Buffer.from([address.family === 4 ? 1 : 4]), ipToBytes(address)]);
  const name = Buffer.from(host);
  if (name.length > 255) throw broken("the host's name is too long");
  return Buffer.concat([Buffer.from([3, name.length]), name]);
}

const broken = (message: string): Error => new Error(`socks connect: ${message}`);

/** Reads exactly so many bytes; nothing is lost of what follows. */
function reader(socket: Socket): (bytes: number) => Promise<Buffer> {
  return async (bytes) => {
    for (;;) {
      const chunk = socket.read(bytes) as Buffer | null;
      if (chunk?.length === bytes) return chunk;
      await new Promise<void>((resolve, reject) => {
        const settle = (error?: Error): void => {
          socket.off("readable", readable).off("error", settle).off("end", ended).off("close", ended);
          if (error) reject(error);
          else resolve();
        };
        const readable = (): void => settle();
        const ended = (): void => settle(broken("unexpected EOF"));
        socket.on("readable", readable).on("error", settle).on("end", ended).on("close", ended);
      });
    }
  };
}
