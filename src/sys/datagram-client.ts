/** Sends datagrams, over UDP or to a unix socket. Nobody tells what arrived. */
import type { Socket } from "node:dgram";
import { closeSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { addon } from "./addon.ts";

const native = addon as { datagramOpen(path: string): number; datagramWrite(fd: number, bytes: Uint8Array, file: number): number };

/** `path`: of a unix socket, or what finds it at each connection. */
export type DatagramAddress = { host: string; port: number } | { path: string | (() => string) };

const FULL_MS = 5;
const IN_FLIGHT = 64;

export class DatagramClient {
  readonly #address: DatagramAddress;
  #udp: Socket | undefined;
  #unix = -1;

  constructor(address: DatagramAddress) {
    this.#address = address;
  }

  /** Rejects when there is no such host or socket. */
  async open(): Promise<void> {
    if ("path" in this.#address) this.#openUnix(this.#address.path);
    else this.#udp ??= await connectUdp(this.#address);
  }

  /** How many were too large for the socket. Rejects when a unix socket has gone. */
  async send(messages: readonly Buffer[]): Promise<number> {
    await this.open();
    if (this.#udp) return sendUdp(this.#udp, messages);
    let refused = 0;
    for (const message of messages) if (!(await this.sendWith(message))) refused++;
    return refused;
  }

  /** One to a unix socket, with an open file; false when it is too large. */
  async sendWith(message: Buffer, file = -1): Promise<boolean> {
    await this.open();
    for (;;) {
      const sent = native.datagramWrite(this.#unix, message, file);
      if (sent === 0) return true;
      if (sent === ERRNO.EMSGSIZE || sent === ERRNO.ENOBUFS) return false;
      if (sent !== ERRNO.EAGAIN) {
        await this.close();
        throw new Error(`write unixgram: errno ${sent}`);
      }
      await delay(FULL_MS);
    }
  }

  async close(): Promise<void> {
    this.#udp?.close();
    this.#udp = undefined;
    if (this.#unix >= 0) closeSync(this.#unix);
    this.#unix = -1;
  }

  #openUnix(path: string | (() => string)): void {
    if (this.#unix >= 0) return;
    const found = typeof path === "string" ? path : path();
    try {
      this.#unix = native.datagramOpen(found);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new Error(`dial unixgram ${found}: connect: ${code === "ENOENT" ? "no such file or directory" : code === "ECONNREFUSED" ? "connection refused" : code}`, { cause: error });
    }
  }
}

const ERRNO = { EAGAIN: 11, EMSGSIZE: 90, ENOBUFS: 105 };

async function connectUdp({ host, port }: { host: string; port: number }): Promise<Socket> {
  const { createSocket } = process.getBuiltinModule("node:dgram");
  const { isIP } = process.getBuiltinModule("node:net");
  const { lookup } = process.getBuiltinModule("node:dns").promises;
  const { address, family } = isIP(host) === 0 ? await lookup(host).catch(() => Promise.reject(new Error(`dial udp: lookup ${host}: no such host`))) : { address: host, family: isIP(host) };
  const socket = createSocket({ type: family === 6 ? "udp6" : "udp4", sendBufferSize: 1 << 20 });
  // A refusal of an earlier datagram says nothing about the next.
  socket.on("error", () => {});
  await new Promise<void>((resolve) => socket.connect(port, address, resolve));
  socket.unref();
  return socket;
}

async function sendUdp(socket: Socket, messages: readonly Buffer[]): Promise<number> {
  let refused = 0;
  const sent = (error: NodeJS.ErrnoException | null): void => {
    if (error?.code === "EMSGSIZE") refused++;
  };
  for (let at = 0; at < messages.length; at += IN_FLIGHT) {
    await Promise.all(messages.slice(at, at + IN_FLIGHT).map((message) => new Promise<void>((resolve) => socket.send(message, (error) => (sent(error), resolve())))));
  }
  return refused;
}
