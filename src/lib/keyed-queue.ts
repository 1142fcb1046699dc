/** Work that is done one after the other for each key, and side by side for different ones. */
export class KeyedQueue {
  readonly #last = new Map<string, Promise<void>>();

  /** Runs `work` when everything that was queued before for this key has ended, well or not. */
  run<T>(key: string, work: () => Promise<T> | T): Promise<T> {
    const result = (this.#last.get(key) ?? Promise.resolve()).then(work, work);
    const settled = result.then(
      () => {},
      () => {},
    );
    this.#last.set(key, settled);
    void settled.then(() => {
      if (this.#last.get(key) === settled) this.#last.delete(key);
    });
    return result;
  }
}
