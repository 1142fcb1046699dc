/** Finds ids by their beginning: a sorted array with binary search. */
export class PrefixIndex {
  readonly #ids: string[] = [];

  add(id: string): void {
    const at = this.#position(id);
    if (this.#ids[at] !== id) this.#ids.splice(at, 0, id);
  }

  delete(id: string): void {
    const at = this.#position(id);
    if (this.#ids[at] === id) this.#ids.splice(at, 1);
  }

  /** At most `limit` ids that begin with `prefix`, in order. */
  find(prefix: string, limit: number): string[] {
    const found: string[] = [];
    for (let at = this.#position(prefix); found.length < limit; at++) {
      const id = this.#ids[at];
      if (id === undefined || !id.startsWith(prefix)) break;
      found.push(id);
    }
    return found;
  }

  /** The first position whose id is not before `id`. */
  #position(id: string): number {
    let low = 0;
    let high = this.#ids.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ids[middle]! < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
