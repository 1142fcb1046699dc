/**
 * Snapshots as an overlay's layers, whoever stacks them (layer-folders.ts has what is not said here):
 *
 *   <dir>/<id>/diff/        the layer's files; deletions as 0/0 devices, opaque folders as trusted.overlay.opaque
 *   <dir>/<id>/work/        overlay's own, only while active
 */
import { chmodSync, chownSync, mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { systemError } from "../lib/errors.ts";
import { type TreeChange, type TreeUsage, diffTree, layerFrom, treeUsage } from "./archive.ts";
import { FolderSnapshots } from "./folder-snapshots.ts";

/** Of the kernel's overlay (OVL_MAX_STACK). */
const mostLayers = 500;

const isCommitted = (key: string): boolean => key.startsWith("sha256:");

/** What an overlay is made of. Lower folders are topmost first. */
export interface Stack {
  lower: string[];
  upper: string;
  work: string;
}

export abstract class OverlayLayers extends FolderSnapshots {
  /** Folders below all layers of active snapshots. */
  readonly #lowest: readonly string[];
  /** Lower folders of a committed snapshot and its parents, topmost first. */
  readonly #chains = new Map<string, string[]>();
  readonly #roots = new Map<string, { mode: number; uid: number; gid: number }>();

  constructor(dir: string, lowest: readonly string[]) {
    super(dir);
    this.#lowest = lowest;
  }

  /** Makes what an active snapshot has; its folder is there. */
  protected fill(dir: string, parent: string | undefined): void {
    const diff = join(dir, "diff");
    mkdirSync(diff, 0o755);
    mkdirSync(join(dir, "work"), 0o700);
    if (parent === undefined) chmodSync(diff, 0o755);
    else this.#dressRoot(diff, parent);
  }

  /** Throws when there is none, or when they are too many. */
  protected checkParent(parent: string | undefined): void {
    if (parent !== undefined) this.#chain(parent);
  }

  /** Of a snapshot in the folder `dir` that has a parent; `own` without what lies below all layers. */
  protected stack(dir: string, parent: string, { own = false }: { own?: boolean } = {}): Stack {
    return { lower: [...this.#chain(parent), ...(own ? [] : this.#lowest)], upper: join(dir, "diff"), work: join(dir, "work") };
  }

  async commit(key: string, name: string, options: { parent?: string; inheritRoot?: boolean } = {}): Promise<void> {
    const dir = this.folders.existing(key);
    if (options.parent !== undefined && this.parentOf(key) === undefined) this.folders.setParent(key, options.parent);
    const parent = this.parentOf(key);
    if (parent !== undefined && options.inheritRoot === true) this.#dressRoot(join(dir, "diff"), parent);
    const usage = await treeUsage(join(dir, "diff"));
    rmSync(join(dir, "work"), { recursive: true, force: true });
    this.folders.finish(key, name, usage);
  }

  async remove(key: string): Promise<void> {
    if (isCommitted(key)) {
      this.#chains.delete(key);
      this.#roots.delete(key);
    }
    this.folders.remove(key);
  }

  async usage(key: string): Promise<TreeUsage> {
    return this.folders.committedUsage(key) ?? treeUsage(join(this.folders.existing(key), "diff"));
  }

  protected changes(key: string): Promise<TreeChange[]> {
    const dir = this.folders.existing(key);
    const parent = this.parentOf(key);
    return diffTree(join(dir, "diff"), parent === undefined ? [] : this.stack(dir, parent).lower, "overlay");
  }

  layer(key: string): AsyncIterable<Uint8Array> {
    return layerFrom(join(this.folders.existing(key), "diff"));
  }

  override has(name: string): boolean {
    return this.#chains.has(name) || super.has(name);
  }

  #chain(name: string): string[] {
    const known = this.#chains.get(name);
    if (known) return known;
    const dir = this.folders.committed(name);
    const parent = this.parentOf(name);
    const chain = [join(dir, "diff"), ...(parent === undefined ? [] : this.#chain(parent))];
    if (chain.length + this.#lowest.length > mostLayers) throw systemError(`snapshot ${name} has more than ${mostLayers} layers, which overlay cannot mount`);
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
