/** What all images together take on disk. */
import type { Digest } from "../../lib/digest.ts";
import type { ImageContext } from "./context.ts";
import { summarize } from "./summary.ts";

/** Bytes of blobs and unpacked layers, each counted once. */
export async function imagesUsage(context: ImageContext): Promise<number> {
  const blobs = new Map<Digest, number>();
  const chains = new Map<Digest, number>();
  const seen = new Set<Digest>();
  for (const { target } of context.store.all()) {
    if (seen.has(target.digest)) continue;
    seen.add(target.digest);
    const summary = await summarize(context, target, { platform: context.host, any: true });
    for (const [digest, bytes] of summary.blobs) blobs.set(digest, bytes);
    for (const [chain, bytes] of summary.chains) chains.set(chain, bytes);
  }
  let total = 0;
  for (const bytes of blobs.values()) total += bytes;
  for (const bytes of chains.values()) total += bytes;
  return total;
}
