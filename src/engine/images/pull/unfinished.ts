/**
 * Pulls that did not end, as leases in containerd's sense: for a day garbage collection keeps what they have, also over a restart, so that the
 * next pull of the same image does not fetch it again. A prune lets go of them at once.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Migration } from "../../../sys/database.ts";
import type { Digest } from "../../../lib/digest.ts";
import type { Descriptor } from "../../../lib/oci-image.ts";
import { targetOf } from "../store.ts";

export const leaseMigrations: readonly Migration[] = [
  {
    id: "images-2",
    sql: `CREATE TABLE image_leases (
      digest TEXT PRIMARY KEY,      -- of the index or manifest that is pulled
      media_type TEXT NOT NULL,
      size INTEGER NOT NULL,
      created INTEGER NOT NULL      -- milliseconds since 1970
    ) STRICT;`,
  },
];

const keptMilliseconds = 24 * 3600 * 1000;

interface Held {
  target: Descriptor;
  created: number;
  /** Pulls of it that are under way. */
  users: number;
}

export class UnfinishedPulls {
  readonly #held = new Map<Digest, Held>();
  readonly #put: StatementSync;
  readonly #delete: StatementSync;

  constructor(database: DatabaseSync) {
    this.#put = database.prepare("INSERT OR REPLACE INTO image_leases (digest, media_type, size, created) VALUES (?, ?, ?, ?)");
    this.#delete = database.prepare("DELETE FROM image_leases WHERE digest = ?");
    for (const row of database.prepare("SELECT digest, media_type, size, created FROM image_leases").all()) {
      const target = targetOf(row);
      this.#held.set(target.digest, { target, created: row["created"] as number, users: 0 });
    }
  }

  begin(target: Descriptor): void {
    const created = Date.now();
    this.#put.run(target.digest, target.mediaType, target.size, created);
    this.#held.set(target.digest, { target, created, users: (this.#held.get(target.digest)?.users ?? 0) + 1 });
  }

  /** `kept`: it failed in a way that another try may mend. */
  end({ digest }: Descriptor, { kept }: { kept: boolean }): void {
    const held = this.#held.get(digest);
    if (!held) return;
    held.users--;
    if (!kept && held.users === 0) this.#drop(digest);
  }

  /** What is to be kept. Those whose time has passed go. */
  targets(): Descriptor[] {
    const past = Date.now() - keptMilliseconds;
    for (const [digest, { created, users }] of this.#held) if (users === 0 && created < past) this.#drop(digest);
    return [...this.#held.values()].map(({ target }) => target);
  }

  underWay(): Descriptor[] {
    return [...this.#held.values()].filter(({ users }) => users > 0).map(({ target }) => target);
  }

  /** Lets go of all that are not under way. */
  release(): void {
    for (const [digest, { users }] of this.#held) if (users === 0) this.#drop(digest);
  }

  #drop(digest: Digest): void {
    this.#held.delete(digest);
    this.#delete.run(digest);
  }
}
