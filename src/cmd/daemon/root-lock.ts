/**
 * One daemon per data root.
 *
 * The lock is SQLite's write lock on an empty database: a lock of the kernel's on the file, which ends with the process
 * however that ends. Who holds it stands in a file beside it.
 */
import { accessSync, constants, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { conflict, messageOf, systemError } from "../../lib/errors.ts";

const SQLITE_BUSY = 5;

/** Takes the lock of a folder. Throws "conflict" that names the holder. */
export function lockRoot(root: string): Disposable {
  const path = join(root, "gantryd.lock");
  const holder = join(root, "gantryd.lock.pid");
  const database = openLock(root, path);
  try {
    // Nothing is ever written: no journal file beside the lock.
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN IMMEDIATE;");
  } catch (cause) {
    database.close();
    if ((cause as { errcode?: number }).errcode !== SQLITE_BUSY) throw systemError(`cannot lock ${root}: ${(cause as Error).message}`, cause);
    throw conflict(`${root} is in use by another gantryd (process ${pidIn(holder)}): stop it, or choose another folder`, cause);
  }
  writeFileSync(holder, `${process.pid}\n`);
  return { [Symbol.dispose]: () => database.close() };
}

/** SQLite's own message for a read-only folder names neither. */
function openLock(root: string, path: string): DatabaseSync {
  try {
    accessSync(root, constants.W_OK);
    return new DatabaseSync(path, { timeout: 0 });
  } catch (cause) {
    throw systemError(`cannot write to ${root}: ${messageOf(cause)}`, cause);
  }
}

function pidIn(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "unknown";
  }
}
