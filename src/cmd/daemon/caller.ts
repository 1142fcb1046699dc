/** Who is at the other end of a connection, asked once and only when somebody wants to know. */
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Caller } from "../../core/caller.ts";
import { peerCredentials } from "../../sys/seqpacket.ts";

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
  const fd = (socket as { _handle?: { fd?: number } })._handle?.fd;
  if (fd === undefined || fd < 0) return {};
  const [pid, uid] = peerCredentials(fd);
  // 0: a process of another pid namespace.
  return pid === 0 ? { uid } : { pid, uid, ...programOf(pid) };
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
