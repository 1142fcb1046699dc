/**
 * Snapshots as whole trees.
 *
 *   <dir>/<id>/diff/        all files
 *   <dir>/<id>/parent       link to ../<parent's id>, absent without a parent
 *   <dir>/<id>/layer.json   committed: { bytes, inodes } beyond the parent
 *   <dir>/init/             what containers find although their images have none of it (src/sys/init-layer.ts)
 *   <dir>/trash/            what was removed and is being deleted
 *
 * <id> is a committed snapshot's chainID without "sha256:", or an active one's key.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { RootfsMount } from "../../core/runtime.ts";
import { sortedChanges } from "../../core/snapshotter.ts";
import type { SnapshotChange, SnapshotInfo, SnapshotUsage, Snapshotter, UnpackTarget } from "../../core/snapshotter.ts";
import { GantryError, conflict, messageOf, notFound, systemError } from "../../lib/errors.ts";
import { changesFrom, copyTree, diffTree, treeUsage } from "../../sys/archive.ts";
import { addInitLayer } from "../../sys/init-layer.ts";
import { Trash } from "../../sys/trash.ts";

/** Folders that are no snapshots. */
const ownNames: ReadonlySet<string> = new Set(["init", "trash"]);

const prefix = "sha256:";
const idOf = (key: string): string => (key.startsWith(prefix) ? key.slice(prefix.length) : key);

export class Vfs implements Snapshotter {
  readonly driver = "vfs";
  readonly lateParent = false;
  readonly #dir: string;
  #generation = 0;
  readonly #trash: Trash;
  readonly #init: string | undefined;

  constructor(dir: string, init?: string) {
    this.#dir = dir;
    this.#init = init;
    this.#trash = new Trash(join(dir, "trash"));
  }

  get generation(): number {
    return this.#generation;
  }

  status(): [string, string][] {
    return [];
  }

  async prepare(key: string, parent?: string): Promise<void> {
    const dir = this.#folder(key);
    if (existsSync(dir)) throw conflict(`snapshot ${key} already exists`);
    if (parent !== undefined && !this.has(parent)) throw notFound(`snapshot ${parent} does not exist`);
    try {
      mkdirSync(join(dir, "diff"), { recursive: true, mode: 0o755 });
      if (parent === undefined) return;
      symlinkSync(`../${idOf(parent)}`, join(dir, "parent"));
      await copyTree(join(this.#folder(parent), "diff"), join(dir, "diff"));
      /* Layers in the making are no containers. */
      if (this.#init !== undefined && !key.startsWith("unpack-")) addInitLayer(this.#init, join(dir, "diff"));
    } catch (error) {
      this.#trash.discard(dir);
      throw error instanceof GantryError ? error : systemError(`cannot make snapshot ${key}: ${messageOf(error)}`, error);
    }
  }

  mounts(key: string): RootfsMount[] {
    return [{ type: "bind", source: join(this.#existing(key), "diff"), readonly: false }];
  }

  planned(key: string): RootfsMount[] {
    return [{ type: "bind", source: join(this.#folder(key), "diff"), readonly: false }];
  }

  unpackTarget(key: string): UnpackTarget {
    return { path: join(this.#existing(key), "diff"), whiteouts: "apply", [Symbol.dispose]: () => undefined };
  }

  async commit(key: string, name: string): Promise<void> {
    const dir = this.#existing(key);
    const usage = await this.#ownUsage(dir);
    writeFileSync(join(dir, "layer.json.new"), JSON.stringify(usage));
    renameSync(join(dir, "layer.json.new"), join(dir, "layer.json"));
    if (this.has(name)) return this.#trash.discard(dir);
    renameSync(dir, this.#folder(name));
    this.#generation++;
  }

  async remove(key: string): Promise<void> {
    if (key.startsWith(prefix)) this.#generation++;
    this.#trash.discard(this.#folder(key));
  }

  async usage(key: string): Promise<SnapshotUsage> {
    const dir = this.#existing(key);
    if (existsSync(join(dir, "layer.json"))) return JSON.parse(readFileSync(join(dir, "layer.json"), "utf8")) as SnapshotUsage;
    return this.#ownUsage(dir);
  }

  async diff(key: string): Promise<SnapshotChange[]> {
    const dir = this.#existing(key);
    return sortedChanges(await diffTree(join(dir, "diff"), this.#below(key), false));
  }

  layer(key: string): AsyncIterable<Uint8Array> {
    return changesFrom(join(this.#existing(key), "diff"), this.#below(key));
  }

  /** Trees that a snapshot began with; the first that has a path counts. */
  #below(key: string): string[] {
    const parent = this.parentOf(key);
    return parent === undefined ? [] : [join(this.#folder(parent), "diff"), ...(this.#init === undefined ? [] : [this.#init])];
  }

  has(name: string): boolean {
    return existsSync(join(this.#folder(name), "layer.json"));
  }

  parentOf(key: string): string | undefined {
    try {
      return prefix + basename(readlinkSync(join(this.#folder(key), "parent")));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  list(): SnapshotInfo[] {
    return readdirSync(this.#dir)
      .filter((id) => !ownNames.has(id))
      .map((id) => {
        const parent = this.parentOf(id);
        const committed = /^[0-9a-f]{64}$/.test(id) && existsSync(join(this.#dir, id, "layer.json"));
        return { key: committed ? prefix + id : id, kind: committed ? ("committed" as const) : ("active" as const), ...(parent === undefined ? {} : { parent }) };
      });
  }

  settled(): Promise<void> {
    return this.#trash.settled();
  }

  /** What the copy holds beyond its parent's: a whole tree has no layer of its own to count. */
  async #ownUsage(dir: string): Promise<SnapshotUsage> {
    const whole = await treeUsage(join(dir, "diff"));
    if (!existsSync(join(dir, "parent"))) return whole;
    const below = await treeUsage(join(dir, "parent", "diff"));
    return { bytes: Math.max(0, whole.bytes - below.bytes), inodes: Math.max(0, whole.inodes - below.inodes) };
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
}
