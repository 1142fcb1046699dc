/** Snapshots that the kernel's overlay file system stacks; src/sys/overlay-layers.ts says what is on the disk. */
import { closeSync } from "node:fs";
import { join } from "node:path";
import type { RootfsMount } from "../../core/runtime.ts";
import { sortedChanges } from "../../core/snapshotter.ts";
import type { CommitOptions, PrepareOptions, SnapshotChange, SnapshotInfo, SnapshotUsage, Snapshotter, UnpackTarget } from "../../core/snapshotter.ts";
import { openOverlay } from "../../sys/archive.ts";
import type { FolderLimits } from "../../sys/folder-limits.ts";
import { OverlayLayers } from "../../sys/overlay-layers.ts";
import { mountOptions } from "./probe.ts";

interface Parts {
  status: [string, string][];
  limits: FolderLimits;
  /** Folders below all layers of active snapshots. */
  lowest: readonly string[];
}

export class Overlay2 implements Snapshotter {
  readonly driver = "overlay2";
  readonly lateParent = true;
  readonly #layers: OverlayLayers;
  readonly #status: [string, string][];
  readonly #limits: FolderLimits;

  constructor(dir: string, { status, limits, lowest }: Parts) {
    this.#layers = new OverlayLayers(dir, lowest);
    this.#status = status;
    this.#limits = limits;
  }

  get generation(): number {
    return this.#layers.folders.generation;
  }

  status(): [string, string][] {
    return this.#status;
  }

  limitFor(options: Readonly<Record<string, string>>): number | undefined {
    return this.#limits.limitFor(options);
  }

  limitOf(key: string): number | undefined {
    return this.#limits.limitOf(this.#layers.folders.existing(key));
  }

  async prepare(key: string, parent?: string, { limit }: PrepareOptions = {}): Promise<void> {
    this.#layers.checkParent(parent);
    await this.#layers.folders.begin(key, parent, (dir) => this.#limits.limited(dir, limit, () => this.#layers.fill(dir, parent)));
  }

  mounts(key: string): RootfsMount[] {
    return this.#mountsOf(this.#layers.folders.existing(key), this.parentOf(key));
  }

  planned(key: string, parent?: string): RootfsMount[] {
    return this.#mountsOf(this.#layers.folders.folder(key), parent);
  }

  #mountsOf(dir: string, parent: string | undefined): RootfsMount[] {
    if (parent === undefined) return [{ type: "bind", source: join(dir, "diff"), readonly: false }];
    return [{ type: "overlay", ...this.#layers.stack(dir, parent), options: [...mountOptions] }];
  }

  async unpackTarget(key: string, options: { merged?: boolean } = {}): Promise<UnpackTarget> {
    const dir = this.#layers.folders.existing(key);
    const parent = this.parentOf(key);
    if (options.merged !== true || parent === undefined) return { path: join(dir, "diff"), whiteouts: "overlay", [Symbol.asyncDispose]: async () => undefined };
    const { lower, ...own } = this.#layers.stack(dir, parent, { own: true });
    const fd = openOverlay({ lower, own, options: mountOptions });
    return { path: `/proc/self/fd/${fd}`, whiteouts: "apply", [Symbol.asyncDispose]: async () => closeSync(fd) };
  }

  commit(key: string, name: string, options: CommitOptions = {}): Promise<void> {
    return this.#layers.commit(key, name, options);
  }

  async remove(key: string): Promise<void> {
    this.#limits.drop(this.#layers.folders.folder(key));
    this.#layers.remove(key);
  }

  usage(key: string): Promise<SnapshotUsage> {
    return this.#layers.usage(key);
  }

  async diff(key: string): Promise<SnapshotChange[]> {
    return sortedChanges(await this.#layers.changes(key));
  }

  layer(key: string): AsyncIterable<Uint8Array> {
    return this.#layers.layer(key);
  }

  has(name: string): boolean {
    return this.#layers.has(name);
  }

  parentOf(key: string): string | undefined {
    return this.#layers.folders.parentOf(key);
  }

  list(): SnapshotInfo[] {
    return this.#layers.folders.list();
  }

  settled(): Promise<void> {
    return this.#layers.folders.settled();
  }
}
