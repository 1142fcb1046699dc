import fs from "node:fs";
import { dirname } from "node:path";
import { messageOf } from "../../lib/errors.ts";
import { openError } from "../open-error.ts";
import type { Session } from "../session.ts";

/** Before anything is asked for. Throws in Docker's words. */
function checkTarget(target: string): void {
  const folder = dirname(target);
  try {
    if (!fs.statSync(folder).isDirectory()) throw Object.assign(new Error(), { code: "ENOTDIR" });
  } catch (thrown) {
    throw new Error(`invalid output path: ${openError(folder, thrown, "stat").message}`);
  }
  const found = fs.lstatSync(target, { throwIfNoEntry: false });
  if (!found || found.isFile()) return;
  const kinds = [[found.isDirectory(), "directory"], [found.isFIFO(), "named pipe (FIFO)"], [found.isSocket(), "socket"], [found.isCharacterDevice(), "character device file"], [found.isBlockDevice(), "block device file"]] as const;
  throw new Error(found.isSymbolicLink() ? "cannot write to a symbolic link directly" : `cannot write to a ${kinds.find(([is]) => is)?.[1]}`);
}

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
    checkTarget(target);
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
