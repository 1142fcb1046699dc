/**
 * Notices that the client of a taken-over connection is gone.
 *
 * A client that has ended its side may still be reading, so the end alone means nothing. On a unix socket a write of no bytes
 * tells: it fails once the other end is closed, and does nothing before (unix(7): both directions are shut down then). On TCP
 * the kernel's keep-alive probes find out.
 */
import type { Duplex } from "node:stream";

const PROBE_MILLISECONDS = 5_000;
const NOTHING = Buffer.alloc(0);

const watched = new Set<Duplex>();
let timer: NodeJS.Timeout | undefined;

/** Destroys the stream of a unix socket soon after its client has closed it. */
export function watchDeparture(stream: Duplex): void {
  watched.add(stream);
  timer ??= setInterval(probeAll, PROBE_MILLISECONDS).unref();
  stream.once("end", () => setImmediate(probe, stream));
  stream.once("close", () => {
    watched.delete(stream);
    if (watched.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  });
}

function probeAll(): void {
  for (const stream of watched) probe(stream);
}

/** What waits to be written will tell by itself. */
function probe(stream: Duplex): void {
  if (stream.writableLength === 0 && !stream.writableEnded && !stream.destroyed) stream.write(NOTHING);
}
