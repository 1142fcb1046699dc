/**
 * Snapshots as subvolumes (src/sys/layer-folders.ts has what is not said here).
 *
 *   <dir>/<id>/diff/        a subvolume with all files, a snapshot of the parent's
 *   <dir>/<id>/base/        of a committed one that containers are made from: diff/ with what containers always have
 *   <dir>/<id>/limit        the bytes that an active one may refer to
 *
 * A snapshot's files keep their inodes and the times of their last change, by which changes are found exactly.
 */
import { chmodSync, existsSync, mkdtempSync, readFileSync, renameSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RootfsMount } from "../../core/runtime.ts";
import { sortedChanges } from "../../core/snapshotter.ts";
import type { PrepareOptions, SnapshotChange, SnapshotUsage, Snapshotter, UnpackTarget } from "../../core/snapshotter.ts";
import { invalidParameter } from "../../lib/errors.ts";
import { sizeAsked } from "../../lib/storage-options.ts";
import { humanSize } from "../../lib/units.ts";
import { changesFrom, diffTree, treeUsage } from "../../sys/archive.ts";
import { createSubvolume, limitSubvolume, snapshotSubvolume } from "../../sys/btrfs.ts";
import { FolderSnapshots } from "../../sys/folder-snapshots.ts";
import { addInitLayer } from "../../sys/init-layer.ts";

interface Parts {
  leastSize: number;
  /** A folder of what containers always have. */
  init: string | undefined;
}

export class Btrfs extends FolderSnapshots implements Snapshotter {
  readonly driver = "btrfs";
  readonly lateParent = false;
  readonly #parts: Parts;

  constructor(dir: string, parts: Parts) {
    super(dir);
    this.#parts = parts;
  }

  status(): [string, string][] {
    return [["Btrfs", ""]];
  }

  limitFor(options: Readonly<Record<string, string>>): number | undefined {
    const size = sizeAsked(options);
    if (size === undefined) return undefined;
    if (size === 0) throw invalidParameter(`btrfs: invalid storage size: ${humanSize(size)}`);
    if (size < this.#parts.leastSize) throw invalidParameter(`btrfs: storage size cannot be less than ${humanSize(this.#parts.leastSize)}`);
    return size;
  }

  limitOf(key: string): number | undefined {
    const file = join(this.folders.existing(key), "limit");
    return existsSync(file) ? Number(readFileSync(file, "utf8")) : undefined;
  }

  async prepare(key: string, parent?: string, { limit }: PrepareOptions = {}): Promise<void> {
    await this.folders.begin(key, parent, (dir) => {
      const diff = join(dir, "diff");
      if (parent === undefined) {
        createSubvolume(diff);
        chmodSync(diff, 0o755);
      } else snapshotSubvolume(this.#baseOf(key, parent), diff);
      if (limit === undefined) return;
      limitSubvolume(diff, limit);
      writeFileSync(join(dir, "limit"), String(limit));
    });
  }

  /** What a snapshot begins with. */
  #baseOf(key: string, parent: string): string {
    const { init } = this.#parts;
    const dir = this.folders.folder(parent);
    /* Layers in the making are no containers. */
    if (init === undefined || key.startsWith("unpack-")) return join(dir, "diff");
    const base = join(dir, "base");
    if (existsSync(base)) return base;
    const making = mkdtempSync(join(dir, "base-"));
    snapshotSubvolume(join(dir, "diff"), join(making, "diff"));
    addInitLayer(init, join(making, "diff"));
    renameSync(join(making, "diff"), base);
    rmdirSync(making);
    return base;
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
    this.folders.finish(key, name, await this.#ownUsage(key));
  }

  async remove(key: string): Promise<void> {
    this.folders.remove(key);
  }

  async usage(key: string): Promise<SnapshotUsage> {
    return this.folders.committedUsage(key) ?? this.#ownUsage(key);
  }

  async diff(key: string): Promise<SnapshotChange[]> {
    return sortedChanges(await diffTree(join(this.folders.existing(key), "diff"), this.#below(key), "snapshot"));
  }

  layer(key: string): AsyncIterable<Uint8Array> {
    return changesFrom(join(this.folders.existing(key), "diff"), this.#below(key), "snapshot");
  }

  #below(key: string): string[] {
    const parent = this.parentOf(key);
    return parent === undefined ? [] : [this.#baseOf(key, parent)];
  }

  /** What it holds beyond its parent. */
  async #ownUsage(key: string): Promise<SnapshotUsage> {
    const whole = await treeUsage(join(this.folders.existing(key), "diff"));
    const [base] = this.#below(key);
    if (base === undefined) return whole;
    const below = await treeUsage(base);
    return { bytes: Math.max(0, whole.bytes - below.bytes), inodes: Math.max(0, whole.inodes - below.inodes) };
  }
}
