/**
 * One thing that one client alone changes, and what it may be: an answered change is so, one whose answer was lost may be.
 * Pure.
 */
import type { Outcome } from "./model.ts";

export class Register<T> {
  /** undefined: anything. */
  #possible: ReadonlySet<T> | undefined;

  constructor(...possible: T[]) {
    this.#possible = new Set(possible);
  }

  /** Whether it is so for sure. */
  is(value: T): boolean {
    return this.#possible?.size === 1 && this.#possible.has(value);
  }

  /** A change to `value` was answered. `partly`: one that is cut off leaves something in between. */
  set(value: T, outcome: Outcome, { partly = false } = {}): void {
    if (outcome === "done") this.#possible = new Set([value]);
    else if (outcome === "lost" || outcome === "failed") this.#possible = partly ? undefined : this.#possible && new Set([...this.#possible, value]);
  }

  /** Returns what was thought possible when this cannot be. */
  see(value: T): string | undefined {
    const before = this.#possible;
    this.#possible = new Set([value]);
    return before === undefined || before.has(value) ? undefined : [...before].join(" or ");
  }
}
