/** Removal in two steps: a rename, which is immediate and atomic, and deletion in the background. What a crash leaves in the trash folder goes at the next start. */
import { mkdirSync, readdirSync, renameSync } from "node:fs";
import { basename, join } from "node:path";
import { removeTree } from "./archive.ts";

export class Trash {
  readonly #dir: string;
  #counter = 0;
  #work: Promise<void> = Promise.resolve();

  /** `dir` must be on the file system of what is discarded. Starts to delete what is in it. */
  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(dir)) this.#delete(name);
  }

  /** Throws the errno when the rename fails; a missing path is no error. */
  discard(path: string): void {
    const name = `${process.pid}-${Date.now()}-${this.#counter++}-${basename(path)}`;
    try {
      renameSync(path, join(this.#dir, name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
      throw error;
    }
    this.#delete(name);
  }

  /** Ends when all that was discarded so far is deleted, or could not be (the next start tries again). */
  settled(): Promise<void> {
    return this.#work;
  }

  #delete(name: string): void {
    this.#work = this.#work.then(() => removeTree(this.#dir, name)).catch(() => undefined);
  }
}
