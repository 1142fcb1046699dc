/** Gives memory back when a daemon that has worked comes to rest. Requests that stay open, as followed events do, are no work. */

/** Nothing asked for so long is rest. */
const REST_MILLISECONDS = 1000;
/** After little work it is not worth the time before that has passed. */
const LONG_REST_MILLISECONDS = 30_000;
/** Beginnings and ends of requests. */
const MUCH_WORK = 200;

export class CalmWatch {
  readonly #giveBack: () => void;
  readonly #now: () => number;
  #work = 0;
  #lastUse = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(giveBack: () => void, now: () => number = () => performance.now()) {
    this.#giveBack = giveBack;
    this.#now = now;
  }

  /** The start has ended, and was work. */
  begin(): void {
    this.#work = MUCH_WORK;
    this.use();
  }

  /** A request has begun or ended. */
  use(): void {
    this.#work++;
    this.#lastUse = this.#now();
    this.#timer ??= this.#wait(REST_MILLISECONDS);
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #wait(milliseconds: number): NodeJS.Timeout {
    return setTimeout(() => this.#check(), milliseconds).unref();
  }

  #check(): void {
    this.#timer = undefined;
    const wanted = this.#work >= MUCH_WORK ? REST_MILLISECONDS : LONG_REST_MILLISECONDS;
    const left = wanted - (this.#now() - this.#lastUse);
    if (left > 0) {
      this.#timer = this.#wait(Math.min(left, REST_MILLISECONDS));
      return;
    }
    this.#work = 0;
    this.#giveBack();
  }
}
