/**
 * A storage driver: keeps unpacked layers and containers' writable layers as snapshots, and says how to mount them.
 *
 *   prepare(key, parent) ─▶ active ──commit(key, name)─▶ committed ──parent of──▶ other snapshots
 *                             │ mounts, unpackTarget,        │
 *                             │ usage, diff                  │
 *                             └──────── remove ──────────────┴─▶ gone
 *
 * Vocabulary: an active snapshot is writable and has a key that its maker chose (a container's id, "unpack-..."). A committed
 * snapshot never changes again; its name is the chainID of the layers in it. A parent is always committed. Keys and names are
 * one namespace.
 *
 * A layer:      prepare("unpack-7", parent); untar into unpackTarget("unpack-7"); commit("unpack-7", chainId)
 * A container:  prepare(containerId, chainId); mounts(containerId) go to the runtime; remove(containerId)
 *
 * Durability: after a crash a snapshot is either complete or not committed. What nobody committed and no container owns is found
 * with list() at the next start and removed. Parents are not protected from removal: the caller's garbage collection orders it.
 *
 * The contract suite is in snapshotter.contract.ts; every driver passes it.
 */
import type { UserMaps } from "../lib/user-maps.ts";
import type { RootfsMount } from "./runtime.ts";

export interface Snapshotter {
  /** "overlay2", "vfs": also its folder's name. */
  readonly driver: string;
  /** Another number after a committed snapshot came or went. */
  readonly generation: number;
  /** Layers may be unpacked in any order, each without its parent, which commit() then names. */
  readonly lateParent: boolean;
  /** Name and value pairs for `docker info`. */
  status(): [string, string][];

  /** A new active snapshot; without a parent an empty one. "conflict" when the key is taken, "not-found" without the parent.
   *  Fast where the driver allows it: it is part of each container's creation. */
  prepare(key: string, parent?: string, options?: PrepareOptions): Promise<void>;
  /** The bytes that a container with these storage options may take, which are the daemon's unless they say otherwise; undefined
   *  without a limit. Throws Docker's words for what this driver cannot do on its file system. */
  limitFor(options: Readonly<Record<string, string>>): number | undefined;
  /** What an active snapshot may take. */
  limitOf(key: string): number | undefined;
  /** Of drivers whose file systems programs serve: until disposed, what mounts() says is there to be mounted. Who has mounted it keeps it. */
  attach?(key: string): Promise<AsyncDisposable>;
  /** How to mount an active snapshot, in order. Lower folders are topmost first. Nothing is mounted by this call. */
  mounts(key: string): RootfsMount[];
  /** What mounts(key) will say after prepare(key, parent). Nothing is made. */
  planned(key: string, parent?: string): RootfsMount[];
  /** A folder through which the content of an active snapshot can be written. With `merged`, what the parents have is visible in
   *  it and deleted by deleting; otherwise it may show this layer alone, and deletions are written as the target says. */
  unpackTarget(key: string, options?: { merged?: boolean }): Promise<UnpackTarget>;
  /** Makes an active snapshot read-only under a name, when nothing has it open: not before its unpack target is disposed. When the name exists already, the active one is dropped. */
  commit(key: string, name: string, options?: CommitOptions): Promise<void>;
  /** Drops a snapshot; its files go in the background. A missing one is no error. */
  remove(key: string): Promise<void>;
  /** What this snapshot alone takes, without its parents. */
  usage(key: string): Promise<SnapshotUsage>;
  /** What an active snapshot changed, sorted by path. */
  diff(key: string): Promise<SnapshotChange[]>;
  /** The same as a layer: a tar archive with whiteouts. The same changes give the same bytes. */
  layer(key: string): AsyncIterable<Uint8Array>;

  has(name: string): boolean;
  /** Undefined also for one that does not exist. */
  parentOf(key: string): string | undefined;
  list(): SnapshotInfo[];
  /** Ends when all removed snapshots' files are gone. */
  settled(): Promise<void>;
  /** Of drivers that have more than files: what of it belongs to no snapshot. */
  strays?(): Stray[] | Promise<Stray[]>;
  /** The same drivers: lets go of it; containers that run keep theirs. Nothing else is called afterwards. */
  close?(): Promise<void>;
}

export interface Stray {
  id: string;
  problem: string;
  repair: () => Promise<void> | void;
}

export interface UnpackTarget extends AsyncDisposable {
  /** A folder to open and write below, by fd. Valid until disposed. */
  path: string;
  /** "overlay": deletions are 0/0 devices and opaque marks. "apply": they delete. */
  whiteouts: "overlay" | "apply";
}

/** What drivers are made with. */
export interface SnapshotterOptions {
  /** Active snapshots with a parent show what containers always have. */
  initLayer?: boolean;
  /** The daemon's --storage-opt, "key=value" each. The driver refuses unknown ones with Docker's words. */
  options?: readonly string[];
  /** Told what the user should know of this choice. */
  warn?: (message: string) => void;
  /** What mounts() says will be shown with ids that are mapped by these. Throws "unavailable" where that cannot be. */
  maps?: UserMaps;
}

export interface PrepareOptions {
  /** Bytes that the snapshot may take beyond its parent, or in all where the driver cannot tell them apart. Of limitFor(). */
  limit?: number;
}

export interface CommitOptions {
  /** Only with lateParent, when prepare() was not told. */
  parent?: string;
  /** The layer said nothing of its root folder: it looks as in the parent. */
  inheritRoot?: boolean;
}

export interface SnapshotUsage {
  bytes: number;
  inodes: number;
}

export interface SnapshotInfo {
  key: string;
  kind: "active" | "committed";
  parent?: string;
}

export interface SnapshotChange {
  kind: "added" | "modified" | "deleted";
  /** Absolute inside the container. */
  path: string;
}

const kinds = { A: "added", C: "modified", D: "deleted" } as const;

/** Changes as drivers find them, in the order and form of the interface. */
export function sortedChanges(changes: readonly { kind: "A" | "C" | "D"; path: string }[]): SnapshotChange[] {
  return changes.map(({ kind, path }) => ({ kind: kinds[kind], path: `/${path}` })).sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}
