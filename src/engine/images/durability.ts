/**
 * What a loss of power may take: an image is named as soon as it is whole, and its files reach the disk behind that.
 *
 *   expect(target)      a row says that it is not on the disk yet     ─▶ the name is given
 *   (a moment later)    syncfs, once for all that wait                ─▶ the rows go
 *   recover()           at start: rows of an earlier boot are of images whose files may be damaged. Blobs are compared with their
 *                       digests, layers are unpacked anew. Rows of this boot only want their syncfs.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Migration } from "../../sys/database.ts";
import type { Digest } from "../../lib/digest.ts";
import { messageOf } from "../../lib/errors.ts";
import type { Descriptor } from "../../lib/oci-image.ts";
import type { ImageContext } from "./context.ts";
import { targetOf } from "./store.ts";

export const durabilityMigrations: readonly Migration[] = [
  {
    id: "images-3",
    sql: `CREATE TABLE image_unsynced (
      digest TEXT PRIMARY KEY,      -- of the index or manifest
      media_type TEXT NOT NULL,
      size INTEGER NOT NULL,
      boot TEXT NOT NULL            -- of the machine, when it was written
    ) STRICT;`,
  },
];

/** So long, more images may come to share one syncfs. */
const delayMilliseconds = 1000;

interface Waiting {
  target: Descriptor;
  boot: string;
}

export class Durability {
  readonly #boot: string;
  readonly #sync: () => Promise<void>;
  readonly #waiting = new Map<Digest, Waiting>();
  readonly #put: StatementSync;
  readonly #delete: StatementSync;
  #scheduled = false;

  constructor(database: DatabaseSync, { boot, sync }: { boot: string; sync: () => Promise<void> }) {
    this.#boot = boot;
    this.#sync = sync;
    this.#put = database.prepare("INSERT OR REPLACE INTO image_unsynced (digest, media_type, size, boot) VALUES (?, ?, ?, ?)");
    this.#delete = database.prepare("DELETE FROM image_unsynced WHERE digest = ?");
    for (const row of database.prepare("SELECT digest, media_type, size, boot FROM image_unsynced").all()) {
      const target = targetOf(row);
      this.#waiting.set(target.digest, { target, boot: row["boot"] as string });
    }
  }

  /** Before the image gets a name. */
  expect(target: Descriptor): void {
    this.#put.run(target.digest, target.mediaType, target.size, this.#boot);
    this.#waiting.set(target.digest, { target, boot: this.#boot });
    this.#schedule();
  }

  /** Puts right what a loss of power has damaged. Ends before images are used. */
  async recover(context: ImageContext): Promise<void> {
    const { warn } = context;
    for (const { target, boot } of [...this.#waiting.values()]) {
      if (boot !== this.#boot) await repair(context, target).catch((error: unknown) => warn?.(`cannot repair the image ${target.digest} after a loss of power: ${messageOf(error)}`));
      /* Once in this boot: from now on containers may use it. */
      this.expect(target);
    }
  }

  async flush(): Promise<void> {
    const done = [...this.#waiting];
    await this.#sync();
    for (const [digest, waiting] of done) {
      if (this.#waiting.get(digest) !== waiting) continue;
      this.#waiting.delete(digest);
      this.#delete.run(digest);
    }
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setTimeout(() => {
      this.#scheduled = false;
      /* After an end of the daemon the rows are there for the next one. */
      this.flush().catch(() => undefined);
    }, delayMilliseconds).unref();
  }
}

async function repair(context: ImageContext, target: Descriptor): Promise<void> {
  const { content, documents, snapshotter, layers } = context;
  await dropIfDamaged(context, target.digest);
  if (!content.has(target.digest)) return;
  for (const { digest } of manifestsBelow(context, target)) await dropIfDamaged(context, digest);
  for (const image of documents.readableImagesOf(target)) {
    for (const { digest } of [image.manifest.config, ...image.manifest.layers]) await dropIfDamaged(context, digest);
    const wasUnpacked = image.chain.some((name) => snapshotter.has(name));
    for (const name of image.chain.toReversed()) await snapshotter.remove(name);
    if (wasUnpacked && documents.isComplete(image)) await layers.unpack(image);
  }
}

function manifestsBelow({ documents }: ImageContext, target: Descriptor): Descriptor[] {
  try {
    return documents.reachableManifests(target);
  } catch {
    return [];
  }
}

async function dropIfDamaged({ content, documents }: ImageContext, digest: Digest): Promise<void> {
  if (!content.has(digest) || (await content.verify(digest))) return;
  content.delete(digest);
  documents.forget(digest);
}
