/**
 * Removal in two steps: a rename, which is immediate and atomic, and deletion in the background, of what was discarded within a
 * moment together. What a crash leaves in the trash folder goes at the next start.
 */
import { mkdirSync, readdirSync, renameSync } from "node:fs";
import { basename, join } from "node:path";
import { emptyFolder } from "./archive.ts";

/** How long deletion waits for more to delete, after the last and after the first: who discards is answering somebody, and that comes first. */
const GATHER_MS = 50;
const LATEST_MS = 1000;

/** One takes what is discarded while the other is emptied: a folder whose files are being deleted is locked for as long as the disk is told. */
const HALVES = ["0", "1"] as const;

export class Trash {
  readonly #halves: readonly [string, string];
  #filling: 0 | 1 = 0;
  #counter = 0;
  #timer: NodeJS.Timeout | undefined;
  #latest = 0;
  #work: Promise<void> = Promise.resolve();

  /** `dir` must be on the file system of what is discarded. Starts to delete what is in it. */
  constructor(dir: string) {
    this.#halves = [join(dir, HALVES[0]), join(dir, HALVES[1])];
    for (const half of this.#halves) mkdirSync(half, { recursive: true, mode: 0o700 });
    // As it was before there were halves.
    for (const name of readdirSync(dir)) if (name !== HALVES[0] && name !== HALVES[1]) renameSync(join(dir, name), join(this.#halves[0], name));
    if (this.#halves.every((half) => readdirSync(half).length === 0)) return;
    for (const _ of this.#halves) this.#empty();
  }

  /** Throws the errno when the rename fails; a missing path is no error. */
  discard(path: string): void {
    const name = `${process.pid}-${Date.now()}-${this.#counter++}-${basename(path)}`;
    try {
      renameSync(path, join(this.#halves[this.#filling], name));
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
    this.#work = this.#work.then(() => this.#emptyHalf()).catch(() => undefined);
  }

  #emptyHalf(): Promise<void> {
    const full = this.#halves[this.#filling];
    this.#filling = this.#filling === 0 ? 1 : 0;
    return emptyFolder(full);
  }
}
