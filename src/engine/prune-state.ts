/** What names the outcome of a dry run: a prune that is given it does exactly that, or nothing. */
import { type Digest, digestOf } from "../lib/digest.ts";
import { conflict } from "../lib/errors.ts";

export const stateOf = (plan: unknown): Digest => digestOf(JSON.stringify(plan));

/** Throws "conflict" when another one is given than that of now. */
export function requireState(given: string | undefined, now: Digest, what: string): void {
  if (given !== undefined && given !== now) throw conflict(`the ${what} have changed since the dry run: see what a prune would remove now`);
}
