/** Sends a real packet: begins a TCP connection, which is closed at once, or sends an empty datagram. */
import { Socket } from "node:net";
import type { ProbeResult } from "../../core/network-path.ts";
import { formatIp } from "../../lib/ip.ts";
import type { IpAddress } from "../../lib/ip.ts";
import { netSocket } from "../../sys/net-socket.ts";

export interface ProbeWish {
  netns: number;
  address: IpAddress;
  port: number;
  protocol: "tcp" | "udp";
}

const PATIENCE_MS = 2000;
/** A refusal of a datagram comes at once, an answer perhaps never. */
const DATAGRAM_MS = 500;
const LOOK_MS = 2;

const REASONS: Record<string, string> = { ECONNREFUSED: "the connection was refused", EHOSTUNREACH: "the host is not reachable", ENETUNREACH: "the network is not reachable", EACCES: "it was prohibited", ECONNRESET: "the connection was reset", EPERM: "a rule forbids it" };

export async function sendProbe(wish: ProbeWish): Promise<ProbeResult> {
  const target = `${wish.protocol} ${wish.address.family === 6 ? `[${formatIp(wish.address)}]` : formatIp(wish.address)}:${wish.port}`;
  const began = performance.now();
  const failure = await (wish.protocol === "tcp" ? connects(wish) : sends(wish)).catch((error: NodeJS.ErrnoException) => REASONS[error.code ?? ""] ?? error.message);
  const took = `${(performance.now() - began).toFixed(1)} ms`;
  if (failure !== undefined) return { succeeded: false, text: `${target}: ${failure}` };
  return { succeeded: true, text: wish.protocol === "tcp" ? `${target} connected in ${took}` : `a datagram to ${target} was not refused within ${DATAGRAM_MS} ms` };
}

/** undefined: connected; else why not. */
function connects({ netns, address, port }: ProbeWish): Promise<string | undefined> {
  const socket = new Socket({ fd: netSocket({ netns, kind: "stream", action: "connect", address, port }) });
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
  const end = performance.now() + PATIENCE_MS;
  socket.on("error", reject);
  socket.resume();
  const timer = setInterval(() => {
    if (socket.remotePort !== undefined) resolve(undefined);
    else if (performance.now() > end) resolve(`no answer within ${PATIENCE_MS / 1000} seconds`);
  }, LOOK_MS);
  return promise.finally(() => {
    clearInterval(timer);
    socket.on("error", () => {});
    socket.destroy();
  });
}

async function sends({ netns, address, port }: ProbeWish): Promise<string | undefined> {
  const dgram = process.getBuiltinModule("node:dgram");
  const socket = dgram.createSocket(address.family === 4 ? "udp4" : "udp6");
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  socket.on("error", reject);
  socket.on("message", () => resolve(undefined));
  socket.bind({ fd: netSocket({ netns, kind: "datagram", action: "none", address, port: 0 }) }, () => socket.connect(port, formatIp(address), () => socket.send("")));
  const timer = setTimeout(() => resolve(undefined), DATAGRAM_MS);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.close();
  }
}
