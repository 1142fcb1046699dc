/**
 * What operations under way use or have just made: garbage collection leaves it alone until they end. As containerd's leases, in memory: what must
 * outlive the daemon is a row of its own (src/engine/images/pull/unfinished.ts). What every holder of leases must do is in leases.contract.ts.
 */
import type { Digest } from "../lib/digest.ts";

/** A blob or a snapshot. A layer's digest can name both: its uncompressed bytes, and what they were unpacked to. */
export type StoredId = `blob:${Digest}` | `snapshot:${string}`;

export const blobId = (digest: Digest): StoredId => `blob:${digest}`;
export const snapshotId = (key: string): StoredId => `snapshot:${key}`;

export interface LeaseHolder {
  begin(): Lease;
  /** What all open leases hold; the same may come several times. */
  held(): Iterable<StoredId>;
}

export class Leases implements LeaseHolder {
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

/** Disposing it, also twice, lets go of all that it holds. What is added afterwards is not held. */
export interface Lease extends Disposable {
  blob(digest: Digest): void;
  snapshot(key: string): void;
}
