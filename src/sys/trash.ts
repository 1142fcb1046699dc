/**
 * Removal in two steps: a rename, which is immediate and atomic, and deletion in the background, of what was discarded within a
 * moment together. What a crash leaves in the trash folder goes at the next start.
 */
import { mkdirSync, renameSync } from "node:fs";
import { basename, join } from "node:path";
import { emptyFolder } from "./archive.ts";

/** How long deletion waits for more to delete, after the last and after the first: who discards is answering somebody, and that comes first. */
const GATHER_MS = 50;
const LATEST_MS = 1000;

export class Trash {
  readonly #dir: string;
  #counter = 0;
  #timer: NodeJS.Timeout | undefined;
  #latest = 0;
  #work: Promise<void> = Promise.resolve();

  /** `dir` must be on the file system of what is discarded. Starts to delete what is in it. */
  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    this.#empty();
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
    const now = performance.now();
    if (this.#timer === undefined) {
      this.#latest = now + LATEST_MS;
      this.#timer = setTimeout(() => this.#empty(), GATHER_MS);
    } else if (now + GATHER_MS < this.#latest) this.#timer.refresh();
  }

  /** Ends when all that was discarded so far is deleted, or could not be (the next start tries again). */
  settled(): Promise<void> {
    if (this.#timer) this.#empty();
    return this.#work;
  }

  #empty(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#work = this.#work.then(() => emptyFolder(this.#dir)).catch(() => undefined);
  }
}
