import type { Duplex } from "node:stream";
import { socketPair } from "../../sys/seqpacket.ts";

const net = process.getBuiltinModule("node:net");

/** An attachment: our end as a stream, which half-closes, and the fd for the shim, which the caller closes once it is sent. */
export function openAttachment(): { stream: Duplex; theirs: number } {
  const [ours, theirs] = socketPair("stream");
  const stream = new net.Socket({ fd: ours, readable: true, writable: true, allowHalfOpen: true });
  // A reset is the end of the process's stream to whoever reads it; without a listener it would end the daemon.
  stream.on("error", () => {});
  return { stream, theirs };
}
