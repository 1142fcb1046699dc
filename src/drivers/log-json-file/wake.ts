/** A flag that one waiter sleeps on. */
export class Wake {
  #rung = false;
  #resolve: (() => void) | undefined;

  ring(): void {
    this.#rung = true;
    this.#resolve?.();
  }

  /** Until it is rung, or was since the last wait, or so long. */
  async wait(milliseconds?: number): Promise<void> {
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        const timer = milliseconds === undefined ? undefined : setTimeout(resolve, milliseconds);
        this.#resolve = () => (clearTimeout(timer), resolve());
      });
    }
    this.#rung = false;
    this.#resolve = undefined;
  }
}
