/** SQLite with migrations. Each domain keeps its tables' schema beside its code as migrations; the daemon opens one database with all of them. */
import { DatabaseSync } from "node:sqlite";
import { conflict, GantryError, systemError } from "../lib/errors.ts";

export interface Migration {
  /** Unique and never changed once released, as "containers-1". */
  id: string;
  sql: string;
}

/** Opens or makes the database at `path` and applies, in one transaction, the migrations that it does not have yet, in the given order. Refuses ("conflict") one that has others: a newer version of this program changed it. */
export function openDatabase(path: string, migrations: readonly Migration[]): DatabaseSync {
  let database: DatabaseSync;
  try {
    database = new DatabaseSync(path, { enableForeignKeyConstraints: true, timeout: 5000 });
    // A new one waits for no disk: there is nothing in it yet that a loss of power could take.
    const isNew = database.prepare("SELECT 1 FROM sqlite_schema").get() === undefined;
    database.exec(`PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = ${isNew ? "OFF" : "NORMAL"}; PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS migrations (id TEXT PRIMARY KEY, applied TEXT NOT NULL) STRICT;`);
  } catch (cause) {
    throw systemError(`cannot open the state database ${path}: ${(cause as Error).message}`, cause);
  }
  try {
    refuseNewer(database, path, migrations);
    migrate(database, migrations);
  } catch (cause) {
    database.close();
    if (cause instanceof GantryError) throw cause;
    throw systemError(`cannot migrate the state database ${path}: ${(cause as Error).message}`, cause);
  }
  database.exec(`PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = ${MOST_PAGES}`);
  return database;
}

/** So many pages of 4 KB gather in the log before a commit waits for the disk. */
const MOST_PAGES = 8192;

/** Takes the log of a database into its file, for when nobody waits: it waits for the disk. */
export function settleDatabase(database: DatabaseSync): void {
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
}

function refuseNewer(database: DatabaseSync, path: string, migrations: readonly Migration[]): void {
  const known = new Set(migrations.map(({ id }) => id));
  const unknown = applied(database).filter((id) => !known.has(id));
  if (unknown.length === 0) return;
  throw conflict(`the state database ${path} was changed by a newer version of gantryd (${unknown.join(", ")}), and this version would misread it: start the newer version again, or use another --data-root; containers that run are left alone`);
}

const applied = (database: DatabaseSync): string[] => database.prepare("SELECT id FROM migrations ORDER BY rowid").all().map((row) => row["id"] as string);

function migrate(database: DatabaseSync, migrations: readonly Migration[]): void {
  const known = new Set(applied(database));
  const pending = migrations.filter((migration) => !known.has(migration.id));
  if (pending.length === 0) return;
  const record = database.prepare("INSERT INTO migrations (id, applied) VALUES (?, ?)");
  database.exec("BEGIN IMMEDIATE");
  try {
    for (const migration of pending) {
      database.exec(migration.sql);
      record.run(migration.id, new Date().toISOString());
    }
    database.exec("COMMIT");
  } catch (cause) {
    database.exec("ROLLBACK");
    throw cause;
  }
}
