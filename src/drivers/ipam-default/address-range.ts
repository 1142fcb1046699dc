/**
 * The free addresses of one range, lowest first, in memory proportional to what is used: everything from `frontier` on was
 * never given by choice; below it, freed addresses wait in a heap. So a /8 or a /64 costs nothing to open.
 */
export class AddressRange {
  readonly #first: bigint;
  readonly #last: bigint;
  readonly #used = new Set<bigint>();
  readonly #freed: bigint[] = [];
  #frontier: bigint;
  #usedInside = 0n;

  /** Both ends included. */
  constructor(first: bigint, last: bigint) {
    this.#first = first;
    this.#frontier = first;
    this.#last = last;
  }

  /** The lowest free address, now taken; undefined: none is free. */
  takeLowest(): bigint | undefined {
    for (let candidate = popHeap(this.#freed); candidate !== undefined; candidate = popHeap(this.#freed)) {
      if (this.take(candidate)) return candidate;
    }
    while (this.#frontier <= this.#last) {
      const candidate = this.#frontier++;
      if (this.take(candidate)) return candidate;
    }
    return undefined;
  }

  /** Also of addresses outside the range. false: it is taken. */
  take(address: bigint): boolean {
    if (this.#used.has(address)) return false;
    this.#used.add(address);
    if (this.#isInside(address)) this.#usedInside++;
    return true;
  }

  release(address: bigint): void {
    if (!this.#used.delete(address)) return;
    if (this.#isInside(address)) this.#usedInside--;
    if (this.#isInside(address) && address < this.#frontier) pushHeap(this.#freed, address);
  }

  /** Also those outside the range. */
  get used(): bigint {
    return BigInt(this.#used.size);
  }

  get free(): bigint {
    return this.#last - this.#first + 1n - this.#usedInside;
  }

  #isInside(address: bigint): boolean {
    return this.#first <= address && address <= this.#last;
  }
}

/** A binary min-heap. An address may be in it while taken by preference: takeLowest skips those. */
function pushHeap(heap: bigint[], value: bigint): void {
  let at = heap.push(value) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (heap[parent]! <= value) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = value;
}

function popHeap(heap: bigint[]): bigint | undefined {
  const lowest = heap[0];
  const value = heap.pop();
  if (heap.length === 0 || value === undefined) return lowest;
  let at = 0;
  for (;;) {
    const left = 2 * at + 1;
    const child = left + 1 < heap.length && heap[left + 1]! < heap[left]! ? left + 1 : left;
    if (child >= heap.length || heap[child]! >= value) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = value;
  return lowest;
}
