/**
 * Snapshots as devices of a thin pool (records.ts says what is on the disk; src/sys/layer-folders.ts has the rest): each is a
 * snapshot of its parent's device, the lowest ones of an empty file system. As blocks are shared, files keep their inodes and the
 * times of their last change, by which changes are found exactly.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { RootfsMount } from "../../core/runtime.ts";
import { sortedChanges } from "../../core/snapshotter.ts";
import type { PrepareOptions, SnapshotChange, SnapshotUsage, Snapshotter, Stray, UnpackTarget } from "../../core/snapshotter.ts";
import { invalidParameter, messageOf, systemError } from "../../lib/errors.ts";
import { sizeAsked } from "../../lib/storage-options.ts";
import { humanSize } from "../../lib/units.ts";
import { changesFrom, diffTree, treeUsage } from "../../sys/archive.ts";
import { FolderSnapshots } from "../../sys/folder-snapshots.ts";
import { addInitLayer } from "../../sys/init-layer.ts";
import type { BaseDevice } from "./base-device.ts";
import type { DeviceMounts } from "./device-mounts.ts";
import type { FileSystems } from "./file-systems.ts";
import { type DeviceRecord, readRecord, type RecordName, recordNames, type Records, writeRecord } from "./records.ts";
import { strayDevices } from "./strays.ts";
import type { ThinDevices } from "./thin-devices.ts";

export interface Parts {
  records: Records;
  devices: ThinDevices;
  mounts: DeviceMounts;
  fileSystems: FileSystems;
  base: BaseDevice;
  status: () => [string, string][];
  /** A folder of what containers always have. */
  init: string | undefined;
}

const devicesIn = (folder: string): DeviceRecord[] => recordNames.flatMap((name) => readRecord(folder, name) ?? []);

interface Begun {
  folder: string;
  which: "device" | "init";
}

/** { bytes, inodes } of all that a committed one has, and what containers begin with. */
const wholeNames = { device: "whole", init: "whole-init" } as const;

export class Devicemapper extends FolderSnapshots implements Snapshotter {
  readonly driver = "devicemapper";
  readonly lateParent = false;
  readonly #parts: Parts;
  /** What containers begin with, being made. */
  readonly #making = new Map<string, Promise<void>>();
  /** Of active ones, since they were written to. */
  readonly #unpacked = new Map<string, SnapshotUsage>();

  constructor(dir: string, parts: Parts) {
    super(dir);
    this.#parts = parts;
    for (const file of parts.devices.condemned()) this.#finishDeletion(file);
  }

  /** A crash came between the mark and what it is for. */
  #finishDeletion(file: string): void {
    const folder = dirname(file);
    if (basename(file) === "device") this.#parts.devices.deleteNow(devicesIn(folder), () => this.folders.remove(basename(folder)));
    else rmSync(file, { force: true });
  }

  status(): [string, string][] {
    return this.#parts.status();
  }

  limitFor(options: Readonly<Record<string, string>>): number | undefined {
    const size = sizeAsked(options);
    if (size === undefined || size === 0) return undefined;
    const least = this.#parts.base.bytes;
    if (size < least) throw invalidParameter(`devmapper: Container size cannot be smaller than ${humanSize(least)}`);
    return size;
  }

  limitOf(key: string): number | undefined {
    return this.#deviceOf(this.folders.existing(key)).limit;
  }

  #deviceOf(folder: string, which: RecordName = "device"): DeviceRecord {
    const record = readRecord(folder, which);
    if (!record) throw systemError(`devmapper: ${folder} has no device`);
    return record;
  }

  async prepare(key: string, parent?: string, { limit }: PrepareOptions = {}): Promise<void> {
    await this.folders.begin(key, parent, async (folder) => {
      const origin = parent === undefined ? await this.#parts.base.ready() : await this.#originOf(key, parent);
      const bytes = Math.max(origin.bytes, limit ?? 0);
      try {
        await this.#snapshot(origin, join(folder, "device"), { bytes, ...(limit !== undefined && { limit }) });
        if (bytes > origin.bytes) await this.#grow(folder);
      } catch (error) {
        await this.#parts.devices.delete(devicesIn(folder), () => undefined);
        throw error;
      }
    });
  }

  async #snapshot({ device: origin }: DeviceRecord, file: string, { bytes, limit }: { bytes: number; limit?: number }): Promise<void> {
    await this.#parts.devices.make(origin, (device) => writeRecord(file, { device, bytes, ...(limit !== undefined && { limit }) } satisfies DeviceRecord));
  }

  async #grow(folder: string): Promise<void> {
    const { base, devices, fileSystems, mounts } = this.#parts;
    const { device, bytes } = this.#deviceOf(folder);
    await using mounted = await mounts.mount(folder);
    await fileSystems.grow(await devices.activate(device, bytes), base.fileSystem, join(mounted.path, ".."));
  }

  /** What a snapshot begins with. */
  async #originOf(key: string, parent: string): Promise<DeviceRecord> {
    const { folder, which } = await this.#begun(key, parent);
    return this.#deviceOf(folder, which);
  }

  async #begun(key: string, parent: string): Promise<Begun> {
    const folder = this.folders.committed(parent);
    /* Layers in the making are no containers. */
    if (this.#parts.init === undefined || key.startsWith("unpack-")) return { folder, which: "device" };
    if (!existsSync(join(folder, "init"))) {
      const making = this.#making.get(folder) ?? this.#makeInit(folder, this.#parts.init).finally(() => this.#making.delete(folder));
      this.#making.set(folder, making);
      await making;
    }
    return { folder, which: "init" };
  }

  /** The record is there when the device has all of it. */
  async #makeInit(folder: string, init: string): Promise<void> {
    const { devices, mounts } = this.#parts;
    const origin = this.#deviceOf(folder);
    const making = join(folder, "init-making");
    const left = readRecord(folder, "init-making");
    if (left) await devices.delete([left], () => rmSync(making));
    await this.#snapshot(origin, making, origin);
    {
      await using mounted = await mounts.mount(folder, "init-making");
      addInitLayer(init, mounted.path);
      await mounts.sync(mounted);
    }
    await this.#parts.records.rename(making, join(folder, "init"));
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
    const { mounts } = this.#parts;
    this.#unpacked.delete(key);
    const mounted = await mounts.mount(this.folders.existing(key));
    const dispose = async (): Promise<void> => {
      try {
        await mounts.sync(mounted);
        this.#unpacked.set(key, await treeUsage(mounted.path));
      } catch (error) {
        throw systemError(`devmapper: what was written to snapshot ${key} is not on the disk: ${messageOf(error)}`, error);
      } finally {
        await mounted[Symbol.asyncDispose]();
      }
    };
    return { path: mounted.path, whiteouts: "apply", [Symbol.asyncDispose]: dispose };
  }

  async commit(key: string, name: string): Promise<void> {
    const folder = this.folders.existing(key);
    if (this.#parts.mounts.isHeld(folder)) throw systemError(`devmapper: snapshot ${key} is still being written to`);
    const whole = this.#unpacked.get(key) ?? (await this.#measure(folder, "device"));
    const usage = await this.#beyondParent(key, whole);
    if (this.folders.has(name)) return this.remove(key);
    this.#unpacked.delete(key);
    this.#parts.mounts.drop(folder);
    writeFileSync(join(folder, wholeNames.device), JSON.stringify(whole));
    this.folders.finish(key, name, usage);
  }

  async remove(key: string): Promise<void> {
    const folder = this.folders.folder(key);
    this.#unpacked.delete(key);
    this.#parts.mounts.drop(folder);
    await this.#parts.devices.delete(devicesIn(folder), () => this.folders.remove(key));
  }

  async usage(key: string): Promise<SnapshotUsage> {
    return this.folders.committedUsage(key) ?? this.#ownUsage(key);
  }

  async diff(key: string): Promise<SnapshotChange[]> {
    return this.#withTrees(key, async (tree, below) => sortedChanges(await diffTree(tree, below, "snapshot")));
  }

  async *layer(key: string): AsyncIterable<Uint8Array> {
    await using trees = await this.#trees(key);
    yield* changesFrom(trees.tree, trees.below, "snapshot");
  }

  async #withTrees<T>(key: string, use: (tree: string, below: string[]) => Promise<T>): Promise<T> {
    await using trees = await this.#trees(key);
    return await use(trees.tree, trees.below);
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
      below.push(stack.use(await mounts.mount(folder, which, { readonly: true })).path);
    }
    const all = stack.move();
    return { tree, below, [Symbol.asyncDispose]: () => all.disposeAsync() };
  }

  async #ownUsage(key: string): Promise<SnapshotUsage> {
    return this.#beyondParent(key, await this.#measure(this.folders.existing(key), "device"));
  }

  async #beyondParent(key: string, { bytes, inodes }: SnapshotUsage): Promise<SnapshotUsage> {
    const parent = this.parentOf(key);
    if (parent === undefined) return { bytes, inodes };
    const { folder, which } = await this.#begun(key, parent);
    const below = await this.#wholeOf(folder, which);
    return { bytes: Math.max(0, bytes - below.bytes), inodes: Math.max(0, inodes - below.inodes) };
  }

  async #measure(folder: string, which: Begun["which"], options: { readonly?: boolean } = {}): Promise<SnapshotUsage> {
    await using mounted = await this.#parts.mounts.mount(folder, which, options);
    return await treeUsage(mounted.path);
  }

  /** All that a device which does not change has; measured once. */
  async #wholeOf(folder: string, which: Begun["which"]): Promise<SnapshotUsage> {
    const file = join(folder, wholeNames[which]);
    try {
      return JSON.parse(readFileSync(file, "utf8")) as SnapshotUsage;
    } catch {
      const whole = await this.#measure(folder, which, { readonly: true });
      writeFileSync(file, JSON.stringify(whole));
      return whole;
    }
  }

  strays(): Stray[] {
    return strayDevices(this.#parts.devices);
  }

  override async settled(): Promise<void> {
    await Promise.all([this.folders.settled(), this.#parts.devices.settled()]);
  }

  async close(): Promise<void> {
    await this.folders.settled();
    await this.#parts.devices.close();
  }
}
