/** So many pieces of work at once; the others wait in order. */
export class Limiter {
  #most: number;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  /** Another number from now on: what runs above it ends first. */
  limit(most: number): void {
    this.#most = most;
    this.#admit();
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#most) this.#running++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      this.#running--;
      this.#admit();
    }
  }

  #admit(): void {
    while (this.#running < this.#most && this.#waiting.length > 0) {
      this.#running++;
      this.#waiting.shift()?.();
    }
  }
}
