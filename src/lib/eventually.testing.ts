/** How every test waits for what happens in its own time: for the thing itself, and so long that no loaded machine fails it. */
import { setTimeout as delay } from "node:timers/promises";

/** Tries until it does not throw, and gives its result; after so many seconds its last failure counts. */
export async function eventually<T>(attempt: () => T | Promise<T>, seconds = 90): Promise<T> {
  for (const end = performance.now() + seconds * 1000; ; await delay(20)) {
    try {
      return await attempt();
    } catch (thrown) {
      if (performance.now() > end) throw thrown;
    }
  }
}

/** Resolves once the condition holds. */
export const until = (what: string | (() => string), condition: () => boolean | Promise<boolean>, seconds?: number): Promise<void> =>
  eventually(async () => {
    if (!(await condition())) throw new Error(`never: ${typeof what === "string" ? what : what()}`);
  }, seconds);
