/** Ends a daemon that nobody needs: for one that the client has started by itself. */
const CHECKS_PER_PERIOD = 4;

export class IdleWatch {
  readonly #seconds: number;
  readonly #onIdle: () => boolean;
  #busy = 0;
  #lastUse = 0;
  #timer: NodeJS.Timeout | undefined;

  /** After `seconds` without a request `onIdle` decides; it answers true when that is the end. 0 seconds: never. */
  constructor(seconds: number, onIdle: () => boolean) {
    this.#seconds = seconds;
    this.#onIdle = onIdle;
  }

  begin(): void {
    if (this.#seconds === 0) return;
    this.#lastUse = performance.now();
    this.#timer = setInterval(() => this.#check(), Math.max(100, (this.#seconds * 1000) / CHECKS_PER_PERIOD));
  }

  /** A request has begun; the function says that it has ended. */
  busy(): () => void {
    this.#busy++;
    return () => {
      this.#busy--;
      this.#lastUse = performance.now();
    };
  }

  end(): void {
    clearInterval(this.#timer);
  }

  #check(): void {
    if (this.#busy > 0 || performance.now() - this.#lastUse < this.#seconds * 1000) return;
    if (this.#onIdle()) this.end();
    else this.#lastUse = performance.now();
  }
}
