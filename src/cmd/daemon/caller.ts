/** The other end of a connection: who it is, asked once and only when somebody wants to know, and whether it has received what was sent. */
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Caller } from "../../core/caller.ts";
import { peerCredentials, unreadBytes } from "../../sys/seqpacket.ts";

const callers = new WeakMap<Socket, () => Caller>();

export function callerOf(socket: Socket): () => Caller {
  let caller = callers.get(socket);
  if (caller === undefined) {
    let known: Caller | undefined;
    callers.set(socket, (caller = () => (known ??= lookUp(socket))));
  }
  return caller;
}

function lookUp(socket: Socket): Caller {
  const { remoteAddress, remotePort } = socket;
  if (remoteAddress !== undefined) return { address: `${remoteAddress}:${remotePort}`, ...certificateOf(socket) };
  const fd = fdOf(socket);
  if (fd === undefined) return {};
  const [pid, uid] = peerCredentials(fd);
  // 0: a process of another pid namespace.
  return pid === 0 ? { uid } : { pid, uid, ...programOf(pid) };
}

function fdOf(socket: Socket): number | undefined {
  const fd = (socket as { _handle?: { fd?: number } })._handle?.fd;
  return fd === undefined || fd < 0 ? undefined : fd;
}

/** Whether the client has received all that was sent to it. A TCP client's kernel only says what itself has: it counts as having all. */
export function hasReceivedAll(socket: Socket): boolean {
  const fd = socket.remoteAddress === undefined ? fdOf(socket) : undefined;
  return fd === undefined || unreadBytes(fd) === 0;
}

function certificateOf(socket: Socket): Caller {
  const subject = (socket as Partial<TLSSocket>).getPeerCertificate?.().subject as { CN?: string | string[] } | undefined;
  return subject?.CN === undefined ? {} : { certificate: String(subject.CN) };
}

/** The process may be gone already. */
function programOf(pid: number): Caller {
  try {
    return { program: readFileSync(`/proc/${pid}/comm`, "utf8").trimEnd() };
  } catch {
    return {};
  }
}
