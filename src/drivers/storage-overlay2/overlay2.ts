/**
 * Snapshots as overlay layers (src/sys/layer-folders.ts has what is not said here).
 *
 *   <dir>/<id>/diff/        the layer's files; deletions as 0/0 devices, opaque folders as trusted.overlay.opaque
 *   <dir>/<id>/work/        overlay's own, only while active
 *   <dir>/init/             the lowest layer of all containers
 */
import { chmodSync, chownSync, closeSync, mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { RootfsMount } from "../../core/runtime.ts";
import { sortedChanges } from "../../core/snapshotter.ts";
import type { CommitOptions, PrepareOptions, SnapshotChange, SnapshotInfo, SnapshotUsage, Snapshotter, UnpackTarget } from "../../core/snapshotter.ts";
import { systemError } from "../../lib/errors.ts";
import { diffTree, layerFrom, openOverlay, treeUsage } from "../../sys/archive.ts";
import type { FolderLimits } from "../../sys/folder-limits.ts";
import { LayerFolders } from "../../sys/layer-folders.ts";
import { mountOptions } from "./probe.ts";

/** The kernel's own limit (OVL_MAX_STACK). */
const mostLayers = 500;

const prefix = "sha256:";

interface Parts {
  status: [string, string][];
  limits: FolderLimits;
  /** Folders below all layers of active snapshots. */
  lowest: readonly string[];
}

export class Overlay2 implements Snapshotter {
  readonly driver = "overlay2";
  readonly lateParent = true;
  readonly #folders: LayerFolders;
  readonly #parts: Parts;
  /** Lower folders of a committed snapshot and its parents, topmost first. */
  readonly #chains = new Map<string, string[]>();
  readonly #roots = new Map<string, { mode: number; uid: number; gid: number }>();

  constructor(dir: string, parts: Parts) {
    this.#folders = new LayerFolders(dir);
    this.#parts = parts;
  }

  get generation(): number {
    return this.#folders.generation;
  }

  status(): [string, string][] {
    return this.#parts.status;
  }

  limitFor(options: Readonly<Record<string, string>>): number | undefined {
    return this.#parts.limits.limitFor(options);
  }

  limitOf(key: string): number | undefined {
    return this.#parts.limits.limitOf(this.#folders.existing(key));
  }

  async prepare(key: string, parent?: string, { limit }: PrepareOptions = {}): Promise<void> {
    if (parent !== undefined) this.#chain(parent);
    await this.#folders.begin(key, parent, (dir) =>
      this.#parts.limits.limited(dir, limit, () => {
        const diff = join(dir, "diff");
        mkdirSync(diff, 0o755);
        mkdirSync(join(dir, "work"), 0o700);
        if (parent === undefined) chmodSync(diff, 0o755);
        else this.#dressRoot(diff, parent);
      }),
    );
  }

  mounts(key: string): RootfsMount[] {
    return this.#mountsOf(this.#folders.existing(key), this.parentOf(key));
  }

  planned(key: string, parent?: string): RootfsMount[] {
    return this.#mountsOf(this.#folders.folder(key), parent);
  }

  #mountsOf(dir: string, parent: string | undefined): RootfsMount[] {
    if (parent === undefined) return [{ type: "bind", source: join(dir, "diff"), readonly: false }];
    return [{ type: "overlay", lower: [...this.#chain(parent), ...this.#parts.lowest], upper: join(dir, "diff"), work: join(dir, "work"), options: [...mountOptions] }];
  }

  unpackTarget(key: string, options: { merged?: boolean } = {}): UnpackTarget {
    const dir = this.#folders.existing(key);
    const parent = this.parentOf(key);
    const upper = join(dir, "diff");
    if (options.merged !== true || parent === undefined) return { path: upper, whiteouts: "overlay", [Symbol.dispose]: () => undefined };
    const fd = openOverlay({ lower: this.#chain(parent), own: { upper, work: join(dir, "work") }, options: mountOptions });
    return { path: `/proc/self/fd/${fd}`, whiteouts: "apply", [Symbol.dispose]: () => closeSync(fd) };
  }

  async commit(key: string, name: string, options: CommitOptions = {}): Promise<void> {
    const dir = this.#folders.existing(key);
    if (options.parent !== undefined && this.parentOf(key) === undefined) this.#folders.setParent(key, options.parent);
    const parent = this.parentOf(key);
    if (parent !== undefined && options.inheritRoot === true) this.#dressRoot(join(dir, "diff"), parent);
    const usage = await treeUsage(join(dir, "diff"));
    rmSync(join(dir, "work"), { recursive: true, force: true });
    this.#folders.finish(key, name, usage);
  }

  async remove(key: string): Promise<void> {
    this.#chains.delete(key);
    this.#roots.delete(key);
    if (!key.startsWith(prefix)) this.#parts.limits.drop(this.#folders.folder(key));
    this.#folders.remove(key);
  }

  async usage(key: string): Promise<SnapshotUsage> {
    return this.#folders.committedUsage(key) ?? treeUsage(join(this.#folders.existing(key), "diff"));
  }

  async diff(key: string): Promise<SnapshotChange[]> {
    const dir = this.#folders.existing(key);
    const parent = this.parentOf(key);
    return sortedChanges(await diffTree(join(dir, "diff"), parent === undefined ? [] : [...this.#chain(parent), ...this.#parts.lowest], "overlay"));
  }

  layer(key: string): AsyncIterable<Uint8Array> {
    return layerFrom(join(this.#folders.existing(key), "diff"));
  }

  has(name: string): boolean {
    return this.#chains.has(name) || this.#folders.has(name);
  }

  parentOf(key: string): string | undefined {
    return this.#folders.parentOf(key);
  }

  list(): SnapshotInfo[] {
    return this.#folders.list();
  }

  settled(): Promise<void> {
    return this.#folders.settled();
  }

  #chain(name: string): string[] {
    const known = this.#chains.get(name);
    if (known) return known;
    const dir = this.#folders.committed(name);
    const parent = this.parentOf(name);
    const chain = [join(dir, "diff"), ...(parent === undefined ? [] : this.#chain(parent))];
    if (chain.length + this.#parts.lowest.length > mostLayers) throw systemError(`snapshot ${name} has more than ${mostLayers} layers, which overlay cannot mount`);
    this.#chains.set(name, chain);
    return chain;
  }

  /** Overlay shows the topmost layer's root folder: a new one looks like its parent's. */
  #dressRoot(diff: string, parent: string): void {
    let root = this.#roots.get(parent);
    if (!root) {
      const { mode, uid, gid } = statSync(this.#chain(parent)[0] ?? diff);
      root = { mode: mode & 0o7777, uid, gid };
      this.#roots.set(parent, root);
    }
    if (root.uid !== 0 || root.gid !== 0) chownSync(diff, root.uid, root.gid);
    chmodSync(diff, root.mode);
  }
}
