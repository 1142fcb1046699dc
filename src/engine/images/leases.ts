/** What operations under way use or have just made: garbage collection leaves it alone until they end. */
export class Leases {
  readonly #open = new Set<Set<string>>();

  begin(): Lease {
    const held = new Set<string>();
    this.#open.add(held);
    return { add: (id) => void held.add(id), [Symbol.dispose]: () => void this.#open.delete(held) };
  }

  *held(): Iterable<string> {
    for (const lease of this.#open) yield* lease;
  }
}

export interface Lease extends Disposable {
  /** A blob's digest or a snapshot's key. */
  add(id: string): void;
}
