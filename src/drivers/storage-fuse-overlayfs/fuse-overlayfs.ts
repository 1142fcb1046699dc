/** Snapshots that fuse-overlayfs stacks; src/sys/overlay-layers.ts says what is on the disk, merged-mounts.ts how they are mounted. */
import { join } from "node:path";
import type { RootfsMount } from "../../core/runtime.ts";
import { sortedChanges } from "../../core/snapshotter.ts";
import type { CommitOptions, SnapshotChange, Snapshotter, UnpackTarget } from "../../core/snapshotter.ts";
import { invalidParameter } from "../../lib/errors.ts";
import { OverlayLayers } from "../../sys/overlay-layers.ts";
import type { MergedMounts } from "./merged-mounts.ts";

interface Parts {
  mounts: MergedMounts;
  /** Folders below all layers of active snapshots. */
  lowest: readonly string[];
}

const nothing: AsyncDisposable = { [Symbol.asyncDispose]: async () => undefined };

export class FuseOverlayfs extends OverlayLayers implements Snapshotter {
  readonly driver = "fuse-overlayfs";
  readonly lateParent = true;
  readonly #mounts: MergedMounts;

  constructor(dir: string, { mounts, lowest }: Parts) {
    super(dir, lowest);
    this.#mounts = mounts;
  }

  status(): [string, string][] {
    return [];
  }

  limitFor(options: Readonly<Record<string, string>>): undefined {
    if (Object.keys(options).length > 0) throw invalidParameter("--storage-opt is not supported");
  }

  limitOf(): undefined {
    return undefined;
  }

  async prepare(key: string, parent?: string): Promise<void> {
    this.checkParent(parent);
    await this.folders.begin(key, parent, (dir) => this.fill(dir, parent));
  }

  async attach(key: string): Promise<AsyncDisposable> {
    const dir = this.folders.existing(key);
    const parent = this.parentOf(key);
    return parent === undefined ? nothing : this.#mounts.mount(dir, this.stack(dir, parent));
  }

  mounts(key: string): RootfsMount[] {
    return this.#mountsOf(this.folders.existing(key), this.parentOf(key));
  }

  planned(key: string, parent?: string): RootfsMount[] {
    return this.#mountsOf(this.folders.folder(key), parent);
  }

  #mountsOf(dir: string, parent: string | undefined): RootfsMount[] {
    return [{ type: "bind", source: parent === undefined ? join(dir, "diff") : this.#mounts.path(dir), readonly: false }];
  }

  async unpackTarget(key: string, options: { merged?: boolean } = {}): Promise<UnpackTarget> {
    const dir = this.folders.existing(key);
    const parent = this.parentOf(key);
    if (options.merged !== true || parent === undefined) return { ...nothing, path: join(dir, "diff"), whiteouts: "overlay" };
    const mounted = await this.#mounts.mount(dir, this.stack(dir, parent, { own: true }));
    return { ...mounted, path: this.#mounts.path(dir), whiteouts: "apply" };
  }

  override async commit(key: string, name: string, options: CommitOptions = {}): Promise<void> {
    this.#mounts.drop(this.folders.existing(key));
    await super.commit(key, name, options);
  }

  override async remove(key: string): Promise<void> {
    this.#mounts.drop(this.folders.folder(key));
    await super.remove(key);
  }

  async diff(key: string): Promise<SnapshotChange[]> {
    return sortedChanges(await this.changes(key));
  }
}
