/**
 * Snapshots as datasets (records.ts says what is on the disk; src/sys/layer-folders.ts has the rest): each is a clone of its parent's.
 * Its files keep their inodes and the times of their last change, by which changes are found exactly.
 */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RootfsMount } from "../../core/runtime.ts";
import { sortedChanges } from "../../core/snapshotter.ts";
import type { PrepareOptions, SnapshotChange, SnapshotUsage, Snapshotter, Stray, UnpackTarget } from "../../core/snapshotter.ts";
import { messageOf, systemError } from "../../lib/errors.ts";
import { faultPoint } from "../../lib/fault.ts";
import { randomId } from "../../lib/random-id.ts";
import { sizeAsked } from "../../lib/storage-options.ts";
import { changesFrom, diffTree, syncFileSystem, treeUsage } from "../../sys/archive.ts";
import { FolderSnapshots } from "../../sys/folder-snapshots.ts";
import { addInitLayer } from "../../sys/init-layer.ts";
import type { DatasetMounts, Mounted } from "./dataset-mounts.ts";
import type { Datasets } from "./datasets.ts";
import { namesIn, type RecordName, readRecord, writeRecord } from "./records.ts";

interface Parts {
  datasets: Datasets;
  mounts: DatasetMounts;
  status: () => [string, string][];
  /** A folder of what containers always have. */
  init: string | undefined;
}

interface Begun {
  folder: string;
  which: "dataset" | "init";
}

/** { bytes, inodes } of all that a committed one has, and what containers begin with. */
const wholeNames = { dataset: "whole", init: "whole-init" } as const;

export class Zfs extends FolderSnapshots implements Snapshotter {
  readonly driver = "zfs";
  readonly lateParent = false;
  readonly #parts: Parts;
  /** What containers begin with, being made. */
  readonly #making = new Map<string, Promise<void>>();
  /** Of active ones, since they were written to. */
  readonly #unpacked = new Map<string, SnapshotUsage>();

  constructor(dir: string, parts: Parts) {
    super(dir);
    this.#parts = parts;
  }

  status(): [string, string][] {
    return this.#parts.status();
  }

  limitFor(options: Readonly<Record<string, string>>): number | undefined {
    return sizeAsked(options) || undefined;
  }

  limitOf(key: string): number | undefined {
    return readRecord(this.folders.existing(key), "dataset")?.limit;
  }

  async prepare(key: string, parent?: string, { limit }: PrepareOptions = {}): Promise<void> {
    await this.folders.begin(key, parent, async (folder) => {
      const begun = parent === undefined ? undefined : await this.#begun(key, parent);
      await this.#make(folder, "dataset", { ...(begun && { origin: this.#nameOf(begun) }), ...(limit !== undefined && { limit }) });
    });
  }

  async #make(folder: string, which: RecordName, options: { origin?: string; limit?: number }): Promise<void> {
    const name = randomId();
    writeRecord(folder, which, { name, ...(options.limit !== undefined && { limit: options.limit }) });
    faultPoint("zfs-named");
    try {
      await this.#parts.datasets.make(name, options);
    } catch (error) {
      this.#parts.datasets.destroy([name]);
      throw error;
    }
    faultPoint("zfs-made");
  }

  #nameOf({ folder, which }: Begun): string {
    const record = readRecord(folder, which);
    if (!record) throw systemError(`zfs: ${folder} has no dataset`);
    return record.name;
  }

  /** What a snapshot begins with. */
  async #begun(key: string, parent: string): Promise<Begun> {
    const folder = this.folders.committed(parent);
    const { init } = this.#parts;
    /* Layers in the making are no containers. */
    if (init === undefined || key.startsWith("unpack-")) return { folder, which: "dataset" };
    if (!existsSync(join(folder, "init"))) {
      const making = this.#making.get(folder) ?? this.#makeInit(folder, init).finally(() => this.#making.delete(folder));
      this.#making.set(folder, making);
      await making;
    }
    return { folder, which: "init" };
  }

  async #makeInit(folder: string, init: string): Promise<void> {
    const { datasets, mounts } = this.#parts;
    const left = readRecord(folder, "init-making");
    if (left) datasets.destroy([left.name]);
    await this.#make(folder, "init-making", { origin: this.#nameOf({ folder, which: "dataset" }) });
    {
      await using mounted = await mounts.mount(folder, "init-making");
      addInitLayer(init, mounted.path);
    }
    await this.#seal(folder, "init-making");
    renameSync(join(folder, "init-making"), join(folder, "init"));
  }

  async #seal(folder: string, which: RecordName): Promise<void> {
    await this.#parts.datasets.seal(readRecord(folder, which)?.name ?? "");
    faultPoint("zfs-sealed");
  }

  attach(key: string): Promise<AsyncDisposable> {
    this.#unpacked.delete(key);
    return this.#parts.mounts.mount(this.folders.existing(key));
  }

  mounts(key: string): RootfsMount[] {
    return this.#mountsOf(this.folders.existing(key));
  }

  planned(key: string): RootfsMount[] {
    return this.#mountsOf(this.folders.folder(key));
  }

  #mountsOf(folder: string): RootfsMount[] {
    return [{ type: "bind", source: this.#parts.mounts.path(folder), readonly: false }];
  }

  async unpackTarget(key: string): Promise<UnpackTarget> {
    this.#unpacked.delete(key);
    const mounted = await this.#parts.mounts.mount(this.folders.existing(key));
    const dispose = async (): Promise<void> => {
      try {
        this.#unpacked.set(key, await measured(mounted));
      } catch (error) {
        throw systemError(`zfs: what was written to snapshot ${key} is not on the disk: ${messageOf(error)}`, error);
      } finally {
        await mounted[Symbol.asyncDispose]();
      }
    };
    return { path: mounted.path, whiteouts: "apply", [Symbol.asyncDispose]: dispose };
  }

  async commit(key: string, name: string): Promise<void> {
    const folder = this.folders.existing(key);
    if (this.#parts.mounts.isHeld(folder)) throw systemError(`zfs: snapshot ${key} is still being written to`);
    const whole = this.#unpacked.get(key) ?? (await this.#measure(folder));
    const usage = await this.#beyondParent(key, whole);
    if (this.folders.has(name)) return this.remove(key);
    this.#unpacked.delete(key);
    this.#parts.mounts.drop(folder);
    await this.#seal(folder, "dataset");
    writeFileSync(join(folder, wholeNames.dataset), JSON.stringify(whole));
    if (this.folders.has(name)) return this.remove(key);
    this.folders.finish(key, name, usage);
  }

  async remove(key: string): Promise<void> {
    const folder = this.folders.folder(key);
    this.#unpacked.delete(key);
    this.#parts.mounts.drop(folder);
    const names = namesIn(folder);
    this.folders.remove(key);
    faultPoint("zfs-forgotten");
    // What containers began with is a clone of what the image has.
    this.#parts.datasets.destroy(names.toReversed());
  }

  async usage(key: string): Promise<SnapshotUsage> {
    return this.folders.committedUsage(key) ?? this.#beyondParent(key, await this.#measure(this.folders.existing(key)));
  }

  async diff(key: string): Promise<SnapshotChange[]> {
    await using trees = await this.#trees(key);
    return sortedChanges(await diffTree(trees.tree, trees.below, "snapshot"));
  }

  async *layer(key: string): AsyncIterable<Uint8Array> {
    await using trees = await this.#trees(key);
    yield* changesFrom(trees.tree, trees.below, "snapshot");
  }

  /** A snapshot's files and those that it began with. */
  async #trees(key: string): Promise<AsyncDisposable & { tree: string; below: string[] }> {
    const { mounts } = this.#parts;
    await using stack = new AsyncDisposableStack();
    const { path: tree } = stack.use(await mounts.mount(this.folders.existing(key)));
    const below: string[] = [];
    const parent = this.parentOf(key);
    if (parent !== undefined) {
      const { folder, which } = await this.#begun(key, parent);
      below.push(stack.use(await mounts.mountSealed(folder, which)).path);
    }
    const all = stack.move();
    return { tree, below, [Symbol.asyncDispose]: () => all.disposeAsync() };
  }

  async #beyondParent(key: string, { bytes, inodes }: SnapshotUsage): Promise<SnapshotUsage> {
    const parent = this.parentOf(key);
    if (parent === undefined) return { bytes, inodes };
    const below = await this.#wholeOf(await this.#begun(key, parent));
    return { bytes: Math.max(0, bytes - below.bytes), inodes: Math.max(0, inodes - below.inodes) };
  }

  async #measure(folder: string): Promise<SnapshotUsage> {
    await using mounted = await this.#parts.mounts.mount(folder);
    return await measured(mounted);
  }

  /** All that was sealed; measured once. */
  async #wholeOf({ folder, which }: Begun): Promise<SnapshotUsage> {
    const file = join(folder, wholeNames[which]);
    try {
      return JSON.parse(readFileSync(file, "utf8")) as SnapshotUsage;
    } catch {
      await using mounted = await this.#parts.mounts.mountSealed(folder, which);
      const whole = await treeUsage(mounted.path);
      rmSync(file, { force: true });
      writeFileSync(file, JSON.stringify(whole));
      return whole;
    }
  }

  strays(): Promise<Stray[]> {
    return this.#parts.datasets.strays();
  }

  override async settled(): Promise<void> {
    await Promise.all([this.folders.settled(), this.#parts.datasets.settled()]);
  }

  async close(): Promise<void> {
    await this.folders.settled();
    await this.#parts.datasets.close();
  }
}

/** Files have their blocks when they are on the pool. */
async function measured({ path }: Mounted): Promise<SnapshotUsage> {
  await syncFileSystem(path);
  return treeUsage(path);
}
