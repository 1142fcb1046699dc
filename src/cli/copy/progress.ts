/** How much was copied, for people at a terminal. */
import { humanSize } from "../../lib/units.ts";
import type { Session } from "../session.ts";

/** Passes the bytes on and counts them. */
export async function* counted(bytes: AsyncIterable<Uint8Array>, size: { bytes: number }): AsyncGenerator<Uint8Array> {
  for await (const chunk of bytes) {
    size.bytes += chunk.length;
    yield chunk;
  }
}

export function reportCopied(session: Session, bytes: number, target: string): void {
  const isQuiet = session.flags.changed("quiet") ? session.flags.bool("quiet") : !session.err.isTerminal;
  if (!isQuiet) session.err.line(`Successfully copied ${humanSize(bytes)} to ${target}`);
}
