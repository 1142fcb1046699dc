/**
 * Names of images and what they point to: a table, and the same in memory. An image without a name is kept by a name that
 * users cannot make, "moby-dangling@sha256:...", as Docker does.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Migration } from "../../sys/database.ts";
import type { Digest } from "../../lib/digest.ts";
import { messageOf, systemError } from "../../lib/errors.ts";
import type { Descriptor } from "../../lib/oci-image.ts";

export const nameMigrations: readonly Migration[] = [
  {
    id: "images-1",
    sql: `CREATE TABLE images (
      name TEXT PRIMARY KEY,        -- canonical, with tag or digest
      digest TEXT NOT NULL,         -- of the index or manifest
      media_type TEXT NOT NULL,
      size INTEGER NOT NULL,
      tagged INTEGER NOT NULL       -- milliseconds since 1970
    ) STRICT;`,
  },
];

export interface ImageName {
  name: string;
  target: Descriptor;
  /** Milliseconds since 1970. */
  tagged: number;
}

export const danglingName = (digest: Digest): string => `moby-dangling@${digest}`;
export const isDangling = (image: ImageName): boolean => image.name === danglingName(image.target.digest);

/** What a row of images, of their leases or of what is not synced yet points at. */
export const targetOf = (row: Record<string, unknown>): Descriptor => ({ mediaType: row["media_type"] as string, digest: row["digest"] as Digest, size: row["size"] as number });

export class ImageStore {
  readonly #names = new Map<string, ImageName>();
  readonly #targets = new Map<Digest, Map<string, ImageName>>();
  #generation = 0;
  readonly #put: StatementSync;
  readonly #delete: StatementSync;

  constructor(database: DatabaseSync) {
    this.#put = database.prepare("INSERT OR REPLACE INTO images (name, digest, media_type, size, tagged) VALUES (?, ?, ?, ?, ?)");
    this.#delete = database.prepare("DELETE FROM images WHERE name = ?");
    for (const row of database.prepare("SELECT name, digest, media_type, size, tagged FROM images ORDER BY rowid").all()) {
      const target = targetOf(row);
      this.#keep({ name: row["name"] as string, target, tagged: row["tagged"] as number });
    }
  }

  /** Another one after each change. */
  get generation(): number {
    return this.#generation;
  }

  get(name: string): ImageName | undefined {
    return this.#names.get(name);
  }

  /** All names of one target, oldest first. */
  namesOf(digest: Digest): ImageName[] {
    return [...(this.#targets.get(digest)?.values() ?? [])];
  }

  all(): Iterable<ImageName> {
    return this.#names.values();
  }

  targets(): Iterable<Digest> {
    return this.#targets.keys();
  }

  /** Adds or replaces. */
  put(name: string, target: Descriptor): ImageName {
    const image: ImageName = { name, target: { mediaType: target.mediaType, digest: target.digest, size: target.size }, tagged: Date.now() };
    recorded(name, () => this.#put.run(name, target.digest, target.mediaType, target.size, image.tagged));
    this.#forget(name);
    this.#keep(image);
    return image;
  }

  delete(name: string): void {
    recorded(name, () => this.#delete.run(name));
    this.#forget(name);
  }

  #keep(image: ImageName): void {
    this.#generation++;
    this.#names.set(image.name, image);
    const names = this.#targets.get(image.target.digest) ?? new Map<string, ImageName>();
    this.#targets.set(image.target.digest, names.set(image.name, image));
  }

  #forget(name: string): void {
    const image = this.#names.get(name);
    if (!image) return;
    this.#generation++;
    this.#names.delete(name);
    const names = this.#targets.get(image.target.digest);
    names?.delete(name);
    if (names?.size === 0) this.#targets.delete(image.target.digest);
  }
}

function recorded(name: string, write: () => unknown): void {
  try {
    write();
  } catch (cause) {
    throw systemError(`cannot record the image ${name}: ${messageOf(cause)}`, cause);
  }
}
