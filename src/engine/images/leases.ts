/** What operations under way use or have just made: garbage collection leaves it alone until they end. */
import type { Digest } from "../../lib/digest.ts";

/** A blob or a snapshot. A layer's digest can name both: its uncompressed bytes, and what they were unpacked to. */
export type StoredId = `blob:${Digest}` | `snapshot:${string}`;

export const blobId = (digest: Digest): StoredId => `blob:${digest}`;
export const snapshotId = (key: string): StoredId => `snapshot:${key}`;

export class Leases {
  readonly #open = new Set<Set<StoredId>>();

  begin(): Lease {
    const held = new Set<StoredId>();
    this.#open.add(held);
    return {
      blob: (digest) => void held.add(blobId(digest)),
      snapshot: (key) => void held.add(snapshotId(key)),
      [Symbol.dispose]: () => void this.#open.delete(held),
    };
  }

  *held(): Iterable<StoredId> {
    for (const lease of this.#open) yield* lease;
  }
}

export interface Lease extends Disposable {
  blob(digest: Digest): void;
  snapshot(key: string): void;
}
