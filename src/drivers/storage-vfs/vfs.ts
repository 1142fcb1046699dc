/** Snapshots as whole trees: <dir>/<id>/diff/ has all files (src/sys/layer-folders.ts has the rest); layer.json counts what is beyond the parent. */
import { chmodSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { RootfsMount } from "../../core/runtime.ts";
import { sortedChanges } from "../../core/snapshotter.ts";
import type { PrepareOptions, SnapshotChange, SnapshotUsage, Snapshotter, UnpackTarget } from "../../core/snapshotter.ts";
import { changesFrom, copyTree, diffTree, treeUsage } from "../../sys/archive.ts";
import type { FolderLimits } from "../../sys/folder-limits.ts";
import { FolderSnapshots } from "../../sys/folder-snapshots.ts";
import { addInitLayer } from "../../sys/init-layer.ts";

export class Vfs extends FolderSnapshots implements Snapshotter {
  readonly driver = "vfs";
  readonly lateParent = false;
  readonly #limits: FolderLimits;
  readonly #init: string | undefined;

  /** `init`: a folder of what containers always have. */
  constructor(dir: string, { limits, init }: { limits: FolderLimits; init: string | undefined }) {
    super(dir);
    this.#limits = limits;
    this.#init = init;
  }

  status(): [string, string][] {
    return [];
  }

  limitFor(options: Readonly<Record<string, string>>): number | undefined {
    return this.#limits.limitFor(options);
  }

  limitOf(key: string): number | undefined {
    return this.#limits.limitOf(this.folders.existing(key));
  }

  async prepare(key: string, parent?: string, { limit }: PrepareOptions = {}): Promise<void> {
    await this.folders.begin(key, parent, (dir) =>
      this.#limits.limited(dir, limit, async () => {
        const diff = join(dir, "diff");
        mkdirSync(diff);
        chmodSync(diff, 0o755);
        if (parent === undefined) return;
        await copyTree(join(this.folders.folder(parent), "diff"), diff);
        /* Layers in the making are no containers. */
        if (this.#init !== undefined && !key.startsWith("unpack-")) addInitLayer(this.#init, diff);
      }),
    );
  }

  mounts(key: string): RootfsMount[] {
    return [{ type: "bind", source: join(this.folders.existing(key), "diff"), readonly: false }];
  }

  planned(key: string): RootfsMount[] {
    return [{ type: "bind", source: join(this.folders.folder(key), "diff"), readonly: false }];
  }

  async unpackTarget(key: string): Promise<UnpackTarget> {
    return { path: join(this.folders.existing(key), "diff"), whiteouts: "apply", [Symbol.asyncDispose]: async () => undefined };
  }

  async commit(key: string, name: string): Promise<void> {
    this.folders.finish(key, name, await this.#ownUsage(this.folders.existing(key)));
  }

  async remove(key: string): Promise<void> {
    this.#limits.drop(this.folders.folder(key));
    this.folders.remove(key);
  }

  async usage(key: string): Promise<SnapshotUsage> {
    return this.folders.committedUsage(key) ?? this.#ownUsage(this.folders.existing(key));
  }

  async diff(key: string): Promise<SnapshotChange[]> {
    return sortedChanges(await diffTree(join(this.folders.existing(key), "diff"), this.#below(key), "copy"));
  }

  layer(key: string): AsyncIterable<Uint8Array> {
    return changesFrom(join(this.folders.existing(key), "diff"), this.#below(key), "copy");
  }

  /** Trees that a snapshot began with; the first that has a path counts. */
  #below(key: string): string[] {
    const parent = this.parentOf(key);
    return parent === undefined ? [] : [join(this.folders.folder(parent), "diff"), ...(this.#init === undefined ? [] : [this.#init])];
  }

  /** What the copy holds beyond its parent's: a whole tree has no layer of its own to count. */
  async #ownUsage(dir: string): Promise<SnapshotUsage> {
    const whole = await treeUsage(join(dir, "diff"));
    if (!existsSync(join(dir, "parent"))) return whole;
    const below = await treeUsage(join(dir, "parent", "diff"));
    return { bytes: Math.max(0, whole.bytes - below.bytes), inodes: Math.max(0, whole.inodes - below.inodes) };
  }
}
