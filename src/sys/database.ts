/** SQLite with migrations. Each domain keeps its tables' schema beside its code as migrations; the daemon opens one database with all of them. */
import { DatabaseSync } from "node:sqlite";
import { systemError } from "../lib/errors.ts";

export interface Migration {
  /** Unique and never changed once released, as "containers-1". */
  id: string;
  sql: string;
}

/** Opens or makes the database at `path` and applies, in one transaction, the migrations that it does not have yet, in the given order. */
export function openDatabase(path: string, migrations: readonly Migration[]): DatabaseSync {
  let database: DatabaseSync;
  try {
    database = new DatabaseSync(path, { enableForeignKeyConstraints: true, timeout: 5000 });
    database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; CREATE TABLE IF NOT EXISTS migrations (id TEXT PRIMARY KEY, applied TEXT NOT NULL) STRICT;");
  } catch (cause) {
    throw systemError(`cannot open the state database ${path}: ${(cause as Error).message}`, cause);
  }
  const known = new Set(database.prepare("SELECT id FROM migrations").all().map((row) => row["id"] as string));
  const record = database.prepare("INSERT INTO migrations (id, applied) VALUES (?, ?)");
  const pending = migrations.filter((migration) => !known.has(migration.id));
  if (pending.length === 0) return database;
  database.exec("BEGIN IMMEDIATE");
  try {
    for (const migration of pending) {
      database.exec(migration.sql);
      record.run(migration.id, new Date().toISOString());
    }
    database.exec("COMMIT");
  } catch (cause) {
    database.exec("ROLLBACK");
    database.close();
    throw systemError(`cannot migrate the state database ${path}: ${(cause as Error).message}`, cause);
  }
  return database;
}
