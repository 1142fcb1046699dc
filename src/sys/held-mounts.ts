/** File systems mounted for as long as somebody needs them: the first who asks for a place mounts it, with the last it goes. */

interface Held<T> {
  users: number;
  ready: Promise<T>;
}

export interface Mounting<T> {
  begin: () => Promise<T>;
  end: (made: T) => Promise<void>;
}

export class HeldMounts {
  readonly #held = new Map<string, Held<unknown>>();
  /** Ends of what was mounted. */
  readonly #ending = new Map<string, Promise<void>>();

  /** Until disposed. */
  async hold<T>(place: string, { begin, end }: Mounting<T>): Promise<AsyncDisposable> {
    await this.#ending.get(place);
    const held = (this.#held.get(place) as Held<T> | undefined) ?? { users: 0, ready: begin() };
    this.#held.set(place, held);
    held.users++;
    let made: T;
    try {
      made = await held.ready;
    } catch (error) {
      // Somebody may be at it again.
      if (this.#held.get(place) === held) this.#held.delete(place);
      throw error;
    }
    let isOver = false;
    const dispose = async (): Promise<void> => {
      if (isOver) return;
      isOver = true;
      if (--held.users > 0) return;
      this.#held.delete(place);
      const ending = end(made);
      this.#ending.set(place, ending);
      await ending.finally(() => this.#ending.get(place) === ending && this.#ending.delete(place));
    };
    return { [Symbol.asyncDispose]: dispose };
  }

  isHeld(place: string): boolean {
    return this.#held.has(place);
  }
}
