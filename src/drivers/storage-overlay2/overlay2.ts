/** Snapshots that the kernel's overlay file system stacks; src/sys/overlay-layers.ts says what is on the disk. */
import { closeSync } from "node:fs";
import { join } from "node:path";
import type { RootfsMount } from "../../core/runtime.ts";
import { sortedChanges } from "../../core/snapshotter.ts";
import type { PrepareOptions, SnapshotChange, Snapshotter, UnpackTarget } from "../../core/snapshotter.ts";
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

export class Overlay2 extends OverlayLayers implements Snapshotter {
  readonly driver = "overlay2";
  readonly lateParent = true;
  readonly #status: [string, string][];
  readonly #limits: FolderLimits;

  constructor(dir: string, { status, limits, lowest }: Parts) {
    super(dir, lowest);
    this.#status = status;
    this.#limits = limits;
  }

  status(): [string, string][] {
    return this.#status;
  }

  limitFor(options: Readonly<Record<string, string>>): number | undefined {
    return this.#limits.limitFor(options);
  }

  limitOf(key: string): number | undefined {
    return this.#limits.limitOf(this.folders.existing(key));
  }

  async prepare(key: string, parent?: string, { limit }: PrepareOptions = {}): Promise<void> {
    this.checkParent(parent);
    await this.folders.begin(key, parent, (dir) => this.#limits.limited(dir, limit, () => this.fill(dir, parent)));
  }

  mounts(key: string): RootfsMount[] {
    return this.#mountsOf(this.folders.existing(key), this.parentOf(key));
  }

  planned(key: string, parent?: string): RootfsMount[] {
    return this.#mountsOf(this.folders.folder(key), parent);
  }

  #mountsOf(dir: string, parent: string | undefined): RootfsMount[] {
    if (parent === undefined) return [{ type: "bind", source: join(dir, "diff"), readonly: false }];
    return [{ type: "overlay", ...this.stack(dir, parent), options: [...mountOptions] }];
  }

  async unpackTarget(key: string, options: { merged?: boolean } = {}): Promise<UnpackTarget> {
    const dir = this.folders.existing(key);
    const parent = this.parentOf(key);
    if (options.merged !== true || parent === undefined) return { path: join(dir, "diff"), whiteouts: "overlay", [Symbol.asyncDispose]: async () => undefined };
    const { lower, ...own } = this.stack(dir, parent, { own: true });
    const fd = openOverlay({ lower, own, options: mountOptions });
    return { path: `/proc/self/fd/${fd}`, whiteouts: "apply", [Symbol.asyncDispose]: async () => closeSync(fd) };
  }

  override async remove(key: string): Promise<void> {
    this.#limits.drop(this.folders.folder(key));
    await super.remove(key);
  }

  async diff(key: string): Promise<SnapshotChange[]> {
    return sortedChanges(await this.changes(key));
  }
}
