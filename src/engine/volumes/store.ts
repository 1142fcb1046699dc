/**
 * Volumes in the state database, and all of them in memory.
 *
 *   volumes   one row each: written before the driver makes the volume, removed after the driver dropped it.
 *             labels, options: JSON or NULL as the maker gave them; maker: the container in the making that it is made for
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { VolumeSpec } from "../../core/volume.ts";
import type { Migration } from "../../sys/database.ts";

export const volumeMigrations: readonly Migration[] = [
  {
    id: "volumes-1",
    sql: "CREATE TABLE volumes (name TEXT PRIMARY KEY, driver TEXT NOT NULL, labels TEXT, options TEXT, created TEXT NOT NULL, maker TEXT) STRICT, WITHOUT ROWID;",
  },
];

export type Strings = Readonly<Record<string, string>>;

export interface VolumeRow {
  name: string;
  driver: string;
  labels: Strings | null;
  options: Strings | null;
  /** RFC 3339. */
  created: string;
  maker: string | undefined;
}

export const DEFAULT_DRIVER = "local";

/** A local one whose data is a folder of the engine's. */
export const isPlain = (row: VolumeRow): boolean => row.driver === DEFAULT_DRIVER && Object.keys(row.options ?? {}).length === 0;
export const specOf = (row: VolumeRow): VolumeSpec => ({ name: row.name, options: row.options ?? {} });
export const now = (): string => `${new Date().toISOString().slice(0, 19)}Z`;
/** One of which nobody said more. */
export const rowOf = (name: string, driver: string): VolumeRow => ({ name, driver, labels: null, options: null, created: now(), maker: undefined });

export class VolumeStore {
  readonly #rows = new Map<string, VolumeRow>();
  readonly #insert: StatementSync;
  readonly #delete: StatementSync;
  readonly #settle: StatementSync;
  readonly #update: StatementSync;

  /** Loads what the database has. */
  constructor(database: DatabaseSync) {
    this.#insert = database.prepare("INSERT INTO volumes (name, driver, labels, options, created, maker) VALUES (?, ?, ?, ?, ?, ?)");
    this.#delete = database.prepare("DELETE FROM volumes WHERE name = ?");
    this.#settle = database.prepare("UPDATE volumes SET maker = NULL WHERE maker = ?");
    this.#update = database.prepare("UPDATE volumes SET labels = ? WHERE name = ?");
    const rows = database.prepare("SELECT name, driver, labels, options, created, maker FROM volumes ORDER BY created, name").all();
    for (const row of rows as Record<keyof VolumeRow, string | null>[]) {
      this.#rows.set(row.name!, { name: row.name!, driver: row.driver!, labels: fromJson(row.labels), options: fromJson(row.options), created: row.created!, maker: row.maker ?? undefined });
    }
  }

  get(name: string): VolumeRow | undefined {
    return this.#rows.get(name);
  }

  /** Oldest first. */
  list(): VolumeRow[] {
    return [...this.#rows.values()];
  }

  add(row: VolumeRow): void {
    this.#insert.run(row.name, row.driver, toJson(row.labels), toJson(row.options), row.created, row.maker ?? null);
    this.#rows.set(row.name, row);
  }

  relabel(row: VolumeRow, labels: Strings): void {
    this.#update.run(toJson(labels), row.name);
    row.labels = labels;
  }

  remove(name: string): void {
    this.#delete.run(name);
    this.#rows.delete(name);
  }

  /** The container in the making is made: its volumes are like others. */
  settle(maker: string): void {
    const made = this.list().filter((row) => row.maker === maker);
    if (made.length === 0) return;
    this.#settle.run(maker);
    for (const row of made) row.maker = undefined;
  }
}

const toJson = (strings: Strings | null): string | null => (strings === null ? null : JSON.stringify(strings));
const fromJson = (text: string | null): Strings | null => (text === null ? null : (JSON.parse(text) as Strings));
