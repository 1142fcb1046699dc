/**
 * When what a database has committed is on the disk. Commits themselves wait for no disk (synchronous = NORMAL): whoever promises
 * that something survives a loss of power waits here, without keeping anybody else from work, and shares the disk's work with all
 * who wait at the time.
 */
import { closeSync, fdatasync, fsync, openSync } from "node:fs";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { dirname } from "node:path";
import { promisify } from "node:util";

const [syncData, syncAll] = [promisify(fdatasync), promisify(fsync)];

export class DatabaseDisk implements Disposable {
  readonly #changes: StatementSync;
  readonly #log: number;
  readonly #file: number;
  readonly #folder: number;
  /** Rows speak of their entries. */
  readonly #folders: number[];
  /** So many changes were on the disk when a sync last succeeded. */
  #settled = -1;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #open = true;

  /** Of the database at `path`. To be disposed after that is closed: closing a file of it drops the locks that SQLite has on it. */
  constructor(database: DatabaseSync, path: string, folders: readonly string[]) {
    this.#changes = database.prepare("SELECT total_changes() AS changes");
    this.#file = openSync(path, "r");
    this.#log = openSync(`${path}-wal`, "r");
    this.#folder = openSync(dirname(path), "r");
    this.#folders = folders.map((folder) => openSync(folder, "r"));
  }

  /** Resolves when all that is committed now is on the disk; undefined: it is. Rejects when the disk fails. */
  settled(): Promise<void> | undefined {
    if (!this.#open || this.#settled === this.#total()) return undefined;
    // One that runs may have begun before the last commit.
    if (this.#running) return (this.#next ??= this.#running.then(() => this.#begin(), () => this.#begin()));
    return this.#begin();
  }

  #total(): number {
    return this.#changes.get()?.["changes"] as number;
  }

  #begin(): Promise<void> {
    this.#next = undefined;
    return (this.#running = this.#sync().finally(() => (this.#running = undefined)));
  }

  async #sync(): Promise<void> {
    const total = this.#total();
    // The file and its name are new only once; the log comes into it without us.
    const first = this.#settled < 0 ? [syncData(this.#file), syncAll(this.#folder)] : [];
    await Promise.all([syncData(this.#log), ...this.#folders.map((fd) => syncAll(fd)), ...first]);
    this.#settled = total;
  }

  [Symbol.dispose](): void {
    this.#open = false;
    for (const fd of [this.#log, this.#file, this.#folder, ...this.#folders]) closeSync(fd);
  }
}
