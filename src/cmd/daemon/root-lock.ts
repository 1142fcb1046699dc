/**
 * One daemon per data root.
 *
 * The lock is SQLite's write lock on an empty database: a lock of the kernel's on the file, which ends with the process
 * however that ends. Who holds it stands in a file beside it.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { conflict, systemError } from "../../lib/errors.ts";

const SQLITE_BUSY = 5;

/** Takes the lock of a folder. Throws "conflict" that names the holder. */
export function lockRoot(root: string): Disposable {
  const path = join(root, "gantryd.lock");
  const holder = join(root, "gantryd.lock.pid");
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec("BEGIN IMMEDIATE");
  } catch (cause) {
    database.close();
    if ((cause as { errcode?: number }).errcode !== SQLITE_BUSY) throw systemError(`cannot lock ${root}: ${(cause as Error).message}`, cause);
    throw conflict(`${root} is in use by another gantryd (process ${pidIn(holder)}): stop it, or choose another folder`, cause);
  }
  writeFileSync(holder, `${process.pid}\n`);
  return { [Symbol.dispose]: () => database.close() };
}

function pidIn(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "unknown";
  }
}
