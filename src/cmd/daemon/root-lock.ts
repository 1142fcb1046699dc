/**
 * One daemon per data root, and one at a time that chooses names and subnets of the machine's networks.
 *
 * A lock is SQLite's write lock on an empty database: a lock of the kernel's on the file, which ends with the process
 * however that ends. Who holds it stands in a file beside it. Whoever can read such a file can lock it as well, so it is root's
 * alone, in a folder where nobody else can put a link of that name.
 */
import { accessSync, chmodSync, closeSync, constants, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { conflict, messageOf, systemError } from "../../lib/errors.ts";

const SQLITE_BUSY = 5;

/** Nothing is ever written: no journal file beside the lock. */
const TAKE = "PRAGMA journal_mode = MEMORY; BEGIN IMMEDIATE;";

/** Takes the lock of a folder. Throws "conflict" that names the holder. */
export function lockRoot(root: string): Disposable {
  const path = join(root, "gantryd.lock");
  const holder = join(root, "gantryd.lock.pid");
  const database = openLock(root, path);
  try {
    database.exec(TAKE);
  } catch (cause) {
    database.close();
    if ((cause as { errcode?: number }).errcode !== SQLITE_BUSY) throw systemError(`cannot lock ${root}: ${(cause as Error).message}`, cause);
    throw conflict(`${root} is in use by another gantryd (process ${pidIn(holder)}): stop it, or choose another folder`, cause);
  }
  writeFileSync(holder, `${process.pid}\n`, { mode: 0o600 });
  return { [Symbol.dispose]: () => database.close() };
}

const MACHINE_LOCK = "/run/gantry/networks.lock";
/** A daemon is done with it within milliseconds; one that was stopped in the middle must not keep the others from starting. */
const PATIENCE_MILLISECONDS = 5_000;

/** Waits for the machine's daemons that are choosing. Undefined when the lock cannot be had: two daemons then may choose the same. */
export function lockMachine(path = MACHINE_LOCK, patience = PATIENCE_MILLISECONDS): Disposable | undefined {
  let database: DatabaseSync | undefined;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
    makePrivate(path);
    database = new DatabaseSync(path, { timeout: patience });
    database.exec(TAKE);
    return { [Symbol.dispose]: () => database?.close() };
  } catch {
    database?.close();
    return undefined;
  }
}

/** SQLite's own message for a read-only folder names neither. */
function openLock(root: string, path: string): DatabaseSync {
  try {
    accessSync(root, constants.W_OK);
    makePrivate(path);
    return new DatabaseSync(path, { timeout: 0 });
  } catch (cause) {
    throw systemError(`cannot write to ${root}: ${messageOf(cause)}`, cause);
  }
}

/** A file that is there is not opened: to close it again would end this process's lock on it. */
function makePrivate(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "EEXIST") throw thrown;
    chmodSync(path, 0o600);
  }
}

function pidIn(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "unknown";
  }
}
