/** Commands that do one thing to each of several names. */
import { messageOf } from "../../lib/errors.ts";
import type { Session } from "../session.ts";

const PARALLEL = 50;

/**
 * Does `act` for all names, up to 50 at a time, and prints each name in order when it is done; what `act` answers wins over
 * the name, `false` prints nothing. Throws one Error with the messages of all that failed.
 */
export async function forEachName(session: Session, names: string[], act: (name: string) => Promise<unknown>): Promise<void> {
  const results: Promise<{ shown: unknown } | { error: unknown }>[] = [];
  const errors: string[] = [];
  for (const [index, name] of names.entries()) {
    if (index >= PARALLEL) await results[index - PARALLEL];
    results.push(act(name).then((shown) => ({ shown }), (error: unknown) => ({ error })));
  }
  for (const [index, result] of results.entries()) {
    const settled = await result;
    if ("error" in settled) errors.push(messageOf(settled.error));
    else if (settled.shown !== false) session.out.line(typeof settled.shown === "string" && settled.shown !== "" ? settled.shown : (names[index] as string));
  }
  if (errors.length > 0) throw new Error(errors.join("\n"));
}

/** The same, one after the other. */
export async function forEachNameInTurn(session: Session, names: string[], act: (name: string) => Promise<unknown>): Promise<void> {
  const errors: string[] = [];
  for (const name of names) {
    try {
      const shown = await act(name);
      if (shown !== false) session.out.line(typeof shown === "string" && shown !== "" ? shown : name);
    } catch (thrown) {
      errors.push(messageOf(thrown));
    }
  }
  if (errors.length > 0) throw new Error(errors.join("\n"));
}
