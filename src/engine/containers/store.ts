/**
 * Every container that the engine knows: in memory, and in the state database as one JSON document each.
 *
 *   containers (id TEXT PRIMARY KEY, record TEXT)     record: recordToJson of a ContainerRecord
 *
 * Records are changed in place and then saved; save writes through and tells the listeners. Work that spans more than
 * one step on a container runs in `withContainer`, one after the other for each id.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { ContainerRecord } from "../../core/container.ts";
import { conflict, invalidParameter, notFound } from "../../lib/errors.ts";
import { KeyedQueue } from "../../lib/keyed-queue.ts";
import type { Migration } from "../../sys/database.ts";
import { findByLink } from "./links.ts";
import { PrefixIndex } from "./prefix-index.ts";
import { recordFromJson, recordToJson } from "./record-json.ts";

export const containerMigrations: readonly Migration[] = [
  { id: "containers-1", sql: "CREATE TABLE containers (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT, WITHOUT ROWID;" },
  // A container may be in several networks, and in none: no endpoints are not the default any more.
  {
    id: "containers-2",
    sql: `
      UPDATE containers SET record = json_set(record, '$.networkingConfig.EndpointsConfig', NULL) WHERE record ->> '$.networkingConfig.EndpointsConfig' = '{}';
      UPDATE containers SET record = json_set(record, '$.network', json_object('sandboxId', record ->> '$.network.sandboxId', 'ports', json(coalesce(record -> '$.network.ports', '[]')),
        'endpoints', json_array(json_patch('{"ipv6Address":"","ipv6PrefixLength":0,"ipv6Gateway":""}', record -> '$.network')))) WHERE record ->> '$.network.endpointId' IS NOT NULL;
    `,
  },
  // With row ids a record of some kilobytes lies in one page; in the tree of a table without them it takes several.
  {
    id: "containers-3",
    sql: `ALTER TABLE containers RENAME TO earlier;
      CREATE TABLE containers (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
      INSERT INTO containers SELECT id, record FROM earlier;
      DROP TABLE earlier;`,
  },
];

/** `record` is undefined when the container was removed. */
export type ContainerListener = (id: string, record: ContainerRecord | undefined) => void;

export const noSuchContainer = (ref: string): Error => notFound(`No such container: ${ref}`);

export class ContainerStore {
  readonly #records = new Map<string, ContainerRecord>();
  readonly #names = new Map<string, string>();
  readonly #ids = new PrefixIndex();
  readonly #queue = new KeyedQueue();
  readonly #listeners = new Set<ContainerListener>();
  readonly #upsert: StatementSync;
  readonly #delete: StatementSync;

  /** Loads what the database has. */
  constructor(database: DatabaseSync) {
    this.#upsert = database.prepare("INSERT INTO containers (id, record) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record");
    this.#delete = database.prepare("DELETE FROM containers WHERE id = ?");
    for (const row of database.prepare("SELECT record FROM containers").all()) this.#index(recordFromJson(row["record"] as string));
  }

  get size(): number {
    return this.#records.size;
  }

  /** By full id. */
  get(id: string): ContainerRecord | undefined {
    return this.#records.get(id);
  }

  /** By name, without its slash. */
  byName(name: string): ContainerRecord | undefined {
    const id = this.#names.get(name);
    return id === undefined ? undefined : this.#records.get(id);
  }

  /** In no particular order. */
  list(): IterableIterator<ContainerRecord> {
    return this.#records.values();
  }

  /** By full id, name (with or without a slash), name of a link ("PARENT/ALIAS") or unambiguous beginning of an id; Docker's errors. */
  find(ref: string): ContainerRecord {
    if (ref === "") throw invalidParameter('invalid name or ID supplied: ""');
    const record = this.#records.get(ref) ?? this.byName(ref.startsWith("/") ? ref.slice(1) : ref);
    if (record) return record;
    const ids = this.#ids.find(ref, 2);
    if (ids.length > 1) throw invalidParameter(`multiple IDs found with provided prefix: ${ref}`);
    const found = ids[0] === undefined ? this.#byLink(ref) : this.#records.get(ids[0]);
    if (found === undefined) throw noSuchContainer(ref);
    return found;
  }

  #byLink(ref: string): ContainerRecord | undefined {
    return findByLink(ref.replace(/^\//, ""), (name) => this.byName(name) ?? this.#records.get(name));
  }

  /** Full ids: none, or the one that begins so; none also when several do, as Docker's filters have it. */
  idsByPrefix(prefix: string): string[] {
    const ids = prefix === "" ? [] : this.#ids.find(prefix, 2);
    return ids.length === 1 ? ids : ids.filter((id) => id === prefix);
  }

  /** A new container. Fails with Docker's conflict when its name is taken. */
  add(record: ContainerRecord): void {
    this.checkName(record.name);
    this.#index(record);
    try {
      this.save(record);
    } catch (error) {
      this.#forget(record);
      throw error;
    }
  }

  /** Fails with Docker's conflict when the name is taken. */
  checkName(name: string): void {
    const owner = this.#names.get(name);
    if (owner !== undefined) throw conflict(`Conflict. The container name "/${name}" is already in use by container "${owner}". You have to remove (or rename) that container to be able to reuse that name.`);
  }

  /** Writes a changed record and tells the listeners. */
  save(record: ContainerRecord): void {
    if (!this.#records.has(record.id)) return;
    this.#upsert.run(record.id, recordToJson(record));
    this.#notify(record.id, record);
  }

  rename(record: ContainerRecord, name: string): void {
    this.checkName(name);
    const previous = record.name;
    this.#names.set(name, record.id);
    this.#names.delete(previous);
    record.name = name;
    try {
      this.save(record);
    } catch (error) {
      this.#names.set(previous, record.id);
      this.#names.delete(name);
      record.name = previous;
      throw error;
    }
  }

  /** Only what is written of a container: it is known until remove(), and written again by save(). */
  erase(record: ContainerRecord): void {
    this.#delete.run(record.id);
    this.#notify(record.id, record);
  }

  /** Forgets a container. Later saves of its record do nothing. */
  remove(record: ContainerRecord): void {
    this.#delete.run(record.id);
    this.#forget(record);
    this.#notify(record.id, undefined);
  }

  /** Runs `work` when everything that was queued before for this container has ended. */
  withContainer<T>(id: string, work: () => Promise<T> | T): Promise<T> {
    return this.#queue.run(id, work);
  }

  /** Called after each change; the result ends it. */
  onChange(listener: ContainerListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #index(record: ContainerRecord): void {
    this.#records.set(record.id, record);
    this.#names.set(record.name, record.id);
    this.#ids.add(record.id);
  }

  #forget(record: ContainerRecord): void {
    this.#records.delete(record.id);
    if (this.#names.get(record.name) === record.id) this.#names.delete(record.name);
    this.#ids.delete(record.id);
  }

  #notify(id: string, record: ContainerRecord | undefined): void {
    for (const listener of this.#listeners) listener(id, record);
  }
}
