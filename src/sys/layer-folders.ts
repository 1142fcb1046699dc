/**
 * Snapshots as folders, as storage drivers keep them:
 *
 *   <dir>/<id>/             what the driver keeps of a snapshot
 *   <dir>/<id>/parent       link to ../<parent's id>, absent without a parent
 *   <dir>/<id>/layer.json   committed: { bytes, inodes }
 *   <dir>/init/             what containers find although their images have none of it (init-layer.ts)
 *   <dir>/pool/             what a driver keeps of all together
 *   <dir>/trash/            what was removed and is being deleted
 *
 * <id> is a committed snapshot's chainID without "sha256:", or an active one's key.
 * A snapshot is committed when layer.json is there: it is written last, then the folder gets its final name.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { GantryError, conflict, messageOf, notFound, systemError } from "../lib/errors.ts";
import type { TreeUsage } from "./archive.ts";
import { Trash } from "./trash.ts";

/** Folders that are no snapshots. */
const ownNames: ReadonlySet<string> = new Set(["init", "pool", "trash"]);

const prefix = "sha256:";
const idOf = (key: string): string => (key.startsWith(prefix) ? key.slice(prefix.length) : key);

/** As the snapshotter's interface has it. */
export interface LayerInfo {
  key: string;
  kind: "active" | "committed";
  parent?: string;
}

const infoOf = (key: string, kind: LayerInfo["kind"], parent: string | undefined): LayerInfo => ({ key, kind, ...(parent === undefined ? {} : { parent }) });

export class LayerFolders {
  readonly dir: string;
  #generation = 0;
  readonly #trash: Trash;
  /** All snapshots by key, read from the disk at the first question for them. */
  #index: Map<string, LayerInfo> | undefined;

  /** `dir` is made when missing. */
  constructor(dir: string) {
    this.dir = dir;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    this.#trash = new Trash(join(dir, "trash"));
  }

  /** Another number after a committed snapshot came or went. */
  get generation(): number {
    return this.#generation;
  }

  /** Whether there is or was a snapshot in such a folder. */
  static hasAny(dir: string): boolean {
    try {
      return readdirSync(dir).some((id) => !ownNames.has(id));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw error;
    }
  }

  /** A new active snapshot, which `fill` makes. Nothing is left when that fails. */
  async begin(key: string, parent: string | undefined, fill: (dir: string) => void | Promise<void>): Promise<void> {
    const dir = this.folder(key);
    if (parent !== undefined) this.committed(parent);
    try {
      mkdirSync(dir, 0o700);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") throw conflict(`snapshot ${key} already exists`);
      throw systemError(`cannot make snapshot ${key}: ${messageOf(error)}`, error);
    }
    try {
      if (parent !== undefined) symlinkSync(`../${idOf(parent)}`, join(dir, "parent"));
      await fill(dir);
      this.#index?.set(key, infoOf(key, "active", parent));
    } catch (error) {
      this.#trash.discard(dir);
      throw error instanceof GantryError ? error : systemError(`cannot make snapshot ${key}: ${messageOf(error)}`, error);
    }
  }

  /** Names the parent of an active snapshot that was made without one. */
  setParent(key: string, parent: string): void {
    this.committed(parent);
    symlinkSync(`../${idOf(parent)}`, join(this.existing(key), "parent"));
  }

  /** Commits. When the name exists already, the active snapshot is dropped. */
  finish(key: string, name: string, usage: TreeUsage): void {
    const dir = this.existing(key);
    writeFileSync(join(dir, "layer.json.new"), JSON.stringify(usage));
    renameSync(join(dir, "layer.json.new"), join(dir, "layer.json"));
    this.#index?.delete(key);
    if (this.has(name)) return this.#trash.discard(dir);
    const parent = this.parentOf(key);
    renameSync(dir, this.folder(name));
    this.#generation++;
    this.#index?.set(name, infoOf(name, "committed", parent));
  }

  /** Idempotent. */
  remove(key: string): void {
    if (key.startsWith(prefix)) this.#generation++;
    this.#trash.discard(this.folder(key));
    this.#index?.delete(key);
  }

  /** Of a committed snapshot; undefined for an active one. */
  committedUsage(key: string): TreeUsage | undefined {
    const file = join(this.existing(key), "layer.json");
    return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as TreeUsage) : undefined;
  }

  /** There is a committed snapshot of this name. */
  has(name: string): boolean {
    return existsSync(join(this.folder(name), "layer.json"));
  }

  parentOf(key: string): string | undefined {
    try {
      return prefix + basename(readlinkSync(join(this.folder(key), "parent")));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  list(): LayerInfo[] {
    this.#index ??= new Map(readdirSync(this.dir).filter((id) => !ownNames.has(id)).map((id) => this.#read(id)).map((info) => [info.key, info]));
    return [...this.#index.values()];
  }

  #read(id: string): LayerInfo {
    const committed = /^[0-9a-f]{64}$/.test(id) && existsSync(join(this.dir, id, "layer.json"));
    return infoOf(committed ? prefix + id : id, committed ? "committed" : "active", this.parentOf(id));
  }

  settled(): Promise<void> {
    return this.#trash.settled();
  }

  folder(key: string): string {
    const id = idOf(key);
    if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(id) || ownNames.has(id)) throw systemError(`invalid snapshot name ${JSON.stringify(key)}`);
    return join(this.dir, id);
  }

  /** Throws "not-found" for one that is not committed, too. */
  committed(name: string): string {
    if (!this.has(name)) throw notFound(`snapshot ${name} does not exist`);
    return this.folder(name);
  }

  existing(key: string): string {
    const dir = this.folder(key);
    if (!existsSync(dir)) throw notFound(`snapshot ${key} does not exist`);
    return dir;
  }
}
