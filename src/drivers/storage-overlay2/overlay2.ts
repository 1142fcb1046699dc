/**
 * Snapshots as overlay layers.
 *
 *   <dir>/<id>/diff/        the layer's files; deletions as 0/0 devices, opaque folders as trusted.overlay.opaque
 *   <dir>/<id>/work/        overlay's own, only while active
 *   <dir>/<id>/parent       link to ../<parent's id>, absent without a parent
 *   <dir>/<id>/layer.json   committed: { bytes, inodes }
 *   <dir>/init/             what containers find although their images have none of it (src/sys/init-layer.ts)
 *   <dir>/trash/            what was removed and is being deleted
 *
 * <id> is a committed snapshot's chainID without "sha256:", or an active one's key.
 * A snapshot is committed when layer.json is there: it is written last, then the folder gets its final name.
 */
import { chmodSync, chownSync, closeSync, existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { RootfsMount } from "../../core/runtime.ts";
import { sortedChanges } from "../../core/snapshotter.ts";
import type { CommitOptions, SnapshotChange, SnapshotInfo, SnapshotUsage, Snapshotter, UnpackTarget } from "../../core/snapshotter.ts";
import { conflict, notFound, systemError } from "../../lib/errors.ts";
import { diffTree, layerFrom, openOverlay, treeUsage } from "../../sys/archive.ts";
import { Trash } from "../../sys/trash.ts";
import { mountOptions } from "./probe.ts";

/** The kernel's own limit (OVL_MAX_STACK). */
const mostLayers = 500;

/** Folders that are no snapshots. */
const ownNames: ReadonlySet<string> = new Set(["init", "trash"]);

const prefix = "sha256:";
const idOf = (key: string): string => (key.startsWith(prefix) ? key.slice(prefix.length) : key);

const infoOf = (key: string, kind: SnapshotInfo["kind"], parent: string | undefined): SnapshotInfo => ({ key, kind, ...(parent === undefined ? {} : { parent }) });

export class Overlay2 implements Snapshotter {
  readonly driver = "overlay2";
  readonly lateParent = true;
  readonly #dir: string;
  #generation = 0;
  /** Folders below all layers of active snapshots. */
  readonly #lowest: readonly string[];
  readonly #trash: Trash;
  readonly #status: [string, string][];
  /** Lower folders of a committed snapshot and its parents, topmost first. */
  readonly #chains = new Map<string, string[]>();
  /** All snapshots by key, read from the disk at the first question for them. */
  #index: Map<string, SnapshotInfo> | undefined;
  readonly #roots = new Map<string, { mode: number; uid: number; gid: number }>();

  constructor(dir: string, status: [string, string][], lowest: readonly string[] = []) {
    this.#dir = dir;
    this.#status = status;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    this.#lowest = lowest;
    this.#trash = new Trash(join(dir, "trash"));
  }

  get generation(): number {
    return this.#generation;
  }

  status(): [string, string][] {
    return this.#status;
  }

  async prepare(key: string, parent?: string): Promise<void> {
    const dir = this.#folder(key);
    if (parent !== undefined) this.#chain(parent);
    try {
      mkdirSync(dir, 0o700);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") throw conflict(`snapshot ${key} already exists`);
      throw systemError(`cannot make snapshot ${key}: ${(error as Error).message}`, error);
    }
    try {
      const diff = join(dir, "diff");
      mkdirSync(diff, 0o755);
      mkdirSync(join(dir, "work"), 0o700);
      if (parent !== undefined) {
        symlinkSync(`../${idOf(parent)}`, join(dir, "parent"));
        this.#dressRoot(diff, parent);
      } else chmodSync(diff, 0o755);
      this.#index?.set(key, infoOf(key, "active", parent));
    } catch (error) {
      rmSync(dir, { recursive: true, force: true });
      throw systemError(`cannot make snapshot ${key}: ${(error as Error).message}`, error);
    }
  }

  mounts(key: string): RootfsMount[] {
    const dir = this.#existing(key);
    return this.#mountsOf(dir, this.#parent(dir));
  }

  planned(key: string, parent?: string): RootfsMount[] {
    return this.#mountsOf(this.#folder(key), parent);
  }

  #mountsOf(dir: string, parent: string | undefined): RootfsMount[] {
    if (parent === undefined) return [{ type: "bind", source: join(dir, "diff"), readonly: false }];
    return [{ type: "overlay", lower: [...this.#chain(parent), ...this.#lowest], upper: join(dir, "diff"), work: join(dir, "work"), options: [...mountOptions] }];
  }

  unpackTarget(key: string, options: { merged?: boolean } = {}): UnpackTarget {
    const dir = this.#existing(key);
    const parent = this.#parent(dir);
    const upper = join(dir, "diff");
    if (options.merged !== true || parent === undefined) return { path: upper, whiteouts: "overlay", [Symbol.dispose]: () => undefined };
    const fd = openOverlay({ lower: this.#chain(parent), own: { upper, work: join(dir, "work") }, options: mountOptions });
    return { path: `/proc/self/fd/${fd}`, whiteouts: "apply", [Symbol.dispose]: () => closeSync(fd) };
  }

  async commit(key: string, name: string, options: CommitOptions = {}): Promise<void> {
    const dir = this.#existing(key);
    if (options.parent !== undefined && this.#parent(dir) === undefined) {
      this.#chain(options.parent);
      symlinkSync(`../${idOf(options.parent)}`, join(dir, "parent"));
    }
    const parent = this.#parent(dir);
    if (parent !== undefined && options.inheritRoot === true) this.#dressRoot(join(dir, "diff"), parent);
    const usage = await treeUsage(join(dir, "diff"));
    rmSync(join(dir, "work"), { recursive: true, force: true });
    writeFileSync(join(dir, "layer.json.new"), JSON.stringify(usage));
    renameSync(join(dir, "layer.json.new"), join(dir, "layer.json"));
    this.#index?.delete(key);
    if (this.has(name)) return this.#trash.discard(dir);
    renameSync(dir, this.#folder(name));
    this.#generation++;
    this.#index?.set(name, infoOf(name, "committed", parent));
  }

  async remove(key: string): Promise<void> {
    if (key.startsWith(prefix)) this.#generation++;
    this.#chains.delete(key);
    this.#roots.delete(key);
    this.#trash.discard(this.#folder(key));
    this.#index?.delete(key);
  }

  async usage(key: string): Promise<SnapshotUsage> {
    const dir = this.#existing(key);
    if (existsSync(join(dir, "layer.json"))) return JSON.parse(readFileSync(join(dir, "layer.json"), "utf8")) as SnapshotUsage;
    return treeUsage(join(dir, "diff"));
  }

  async diff(key: string): Promise<SnapshotChange[]> {
    const dir = this.#existing(key);
    const parent = this.#parent(dir);
    return sortedChanges(await diffTree(join(dir, "diff"), parent === undefined ? [] : [...this.#chain(parent), ...this.#lowest], true));
  }

  layer(key: string): AsyncIterable<Uint8Array> {
    return layerFrom(join(this.#existing(key), "diff"));
  }

  has(name: string): boolean {
    return this.#chains.has(name) || existsSync(join(this.#folder(name), "layer.json"));
  }

  parentOf(key: string): string | undefined {
    return this.#parent(this.#folder(key));
  }

  list(): SnapshotInfo[] {
    this.#index ??= new Map(readdirSync(this.#dir).filter((id) => !ownNames.has(id)).map((id) => this.#read(id)).map((info) => [info.key, info]));
    return [...this.#index.values()];
  }

  #read(id: string): SnapshotInfo {
    const dir = join(this.#dir, id);
    const committed = /^[0-9a-f]{64}$/.test(id) && existsSync(join(dir, "layer.json"));
    return infoOf(committed ? prefix + id : id, committed ? "committed" : "active", this.#parent(dir));
  }

  settled(): Promise<void> {
    return this.#trash.settled();
  }

  #folder(key: string): string {
    const id = idOf(key);
    if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(id) || ownNames.has(id)) throw systemError(`invalid snapshot name ${JSON.stringify(key)}`);
    return join(this.#dir, id);
  }

  #existing(key: string): string {
    const dir = this.#folder(key);
    if (!existsSync(dir)) throw notFound(`snapshot ${key} does not exist`);
    return dir;
  }

  #parent(dir: string): string | undefined {
    try {
      return prefix + basename(readlinkSync(join(dir, "parent")));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  #chain(name: string): string[] {
    const known = this.#chains.get(name);
    if (known) return known;
    const dir = this.#folder(name);
    if (!existsSync(join(dir, "layer.json"))) throw notFound(`snapshot ${name} does not exist`);
    const parent = this.#parent(dir);
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
