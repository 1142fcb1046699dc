import fs from "node:fs";
import { messageOf } from "../../lib/errors.ts";
import { openError } from "../open-error.ts";
import type { Session } from "../session.ts";

/** Writes an answer's body to the --output file, which appears when it is whole, or to stdout unless that is a terminal. */
export async function saveStream(session: Session, what: string, open: () => Promise<AsyncIterable<Buffer>>): Promise<void> {
  const target = session.flags.string("output");
  if (target === "") {
    if (session.out.isTerminal) throw new Error("cowardly refusing to save to a terminal. Use the -o flag or redirect");
    for await (const chunk of await open()) session.out.write(chunk);
    return;
  }
  const temporary = `${target}.tmp-${process.pid}`;
  let file: number;
  try {
    if (fs.existsSync(target) && !fs.statSync(target).isFile()) throw new Error("file is not a regular file");
    file = fs.openSync(temporary, "wx", 0o600);
  } catch (thrown) {
    throw new Error(`failed to ${what}: ${(thrown as NodeJS.ErrnoException).code ? openError(target, thrown).message : messageOf(thrown)}`);
  }
  try {
    for await (const chunk of await open()) for (let at = 0; at < chunk.length; ) at += fs.writeSync(file, chunk, at);
    fs.renameSync(temporary, target);
  } finally {
    fs.closeSync(file);
    fs.rmSync(temporary, { force: true });
  }
}
