import { StatusError } from "../status-error.ts";
import { stdin, stdout } from "../streams.ts";

/** Asks for a "y". Throws a StatusError that says nothing otherwise: it is no failure to change one's mind. */
export function confirm(question: string): void {
  stdout.write(`${question} [y/N] `);
  if (stdin.line()?.trim().toLowerCase() !== "y") throw new StatusError(0);
}
