/** Layers as byte streams, and trees: typed views of native/addon/archive*.c. Everything inside a root is resolved by fd (openat2 RESOLVE_IN_ROOT). */
import { closeSync, constants, openSync } from "node:fs";
import type { SendableBytes } from "../lib/connection-body.ts";
import type { UserMaps } from "../lib/user-maps.ts";
import { addon } from "./addon.ts";
import type { Arrival, ArrivalHandle } from "./arrival.ts";
import type { BodyHandle } from "./connection-body.ts";
import { idRanges, layerMaps } from "./user-namespace.ts";

/** What the extractor does; values are those of enum extract_flags. */
export const extract = {
  owner: 1,
  xattrs: 2,
  devices: 4,
  whiteoutOverlay: 8,
  whiteoutApply: 16,
  userXattr: 32,
  needParents: 64,
  sync: 128,
  keepKind: 256,
  copy: 512,
  chown: 1024,
} as const;

/** How much one archive may hold. */
export interface ArchiveBudget {
  /** Bytes of file data, and of the inflated stream. */
  bytes: number;
  entries: number;
  /** Components of a path. */
  depth: number;
  /** Bytes of one entry's extended headers. */
  metadata: number;
}

export const defaultBudget: ArchiveBudget = { bytes: Number.MAX_SAFE_INTEGER, entries: 10_000_000, depth: 1024, metadata: 1 << 20 };

export interface ArchiveOptions {
  /** An fd of the folder to untar into; absent: only hash. */
  root?: number;
  /** An fd that gets the bytes as they arrive. */
  blob?: number;
  /** Only hash the bytes as they arrive: nothing is inflated, diffHex means nothing. */
  raw?: boolean;
  /** Digests of the result that mean nothing, as nobody wants them: blobHex, or both. */
  unhashed?: "blob" | "all";
  /** Sum of `extract` values. */
  flags?: number;
  budget?: Partial<ArchiveBudget>;
  /** Who gets everything, with extract.chown. */
  owner?: { uid: number; gid: number };
  /** Files are made for containers with these maps; the archive has their ids. */
  maps?: UserMaps;
}

export interface ArchiveResult {
  compression: "plain" | "gzip" | "zstd";
  /** sha256 of the bytes as they arrived, and of the inflated ones. */
  blobHex: string;
  diffHex: string;
  blobBytes: number;
  plainBytes: number;
  entries: number;
  whiteouts: number;
  /** Extended attributes that were refused: overlay's own, or what the file system cannot hold. */
  droppedXattrs: number;
  /** The archive has an entry for the root folder itself. */
  rootEntry: boolean;
}

type Handle = { readonly handle: unique symbol };
const native = addon as unknown as {
  archiveOpen(options: Record<string, number | Uint32Array | undefined>): Handle;
  archivePush(handle: Handle, bytes: Uint8Array): Promise<void>;
  archivePushSync(handle: Handle, bytes: Uint8Array): void;
  archiveFinish(handle: Handle): Promise<ArchiveResult>;
  archiveRun(handle: Handle, fd: number): Promise<ArchiveResult>;
  archiveFollow(handle: Handle, arrival: ArrivalHandle): Promise<ArchiveResult>;
  archiveReceive(handle: Handle, body: BodyHandle): Promise<ArchiveResult>;
  archivePosition(handle: Handle): number;
  archiveClose(handle: Handle): void;
  treeEmpty(dir: number): Promise<void>;
  treeUsage(dir: number): Promise<TreeUsage & { content: number }>;
  syncFileSystem(fd: number): Promise<void>;
  openInRoot(root: number, path: string, flags: number): number;
  openBeneath(root: number, path: string, flags: number): number;
  linkFile(fd: number, path: string): void;
  tellsKinds(dir: number): boolean;
  treeCopy(from: number, to: number): Promise<void>;
  treeDiff(dir: number, lowers: number[], kind: number): Promise<Buffer>;
  treeWrite(dir: number, out: number, overlay: boolean, ids?: Uint32Array, givenUp?: Int32Array): Promise<void>;
  treeWriteChanges(dir: number, lowers: number[], out: number, kind: number): Promise<void>;
  treeWriteAs(dir: number, name: string, renamed: string, out: number, ids?: Uint32Array, givenUp?: Int32Array): Promise<void>;
  viewOpen(root: number, isFolder: boolean, process: number, sources: readonly string[], destinations: readonly string[], flags: readonly number[], ids?: Uint32Array): Promise<[number, number]>;
  readLinkAt(fd: number): string;
  pipe(): [number, number];
  overlayOpen(lowers: readonly string[], own: readonly string[], options: readonly string[], folder: string, maps: readonly number[]): number;
};

export interface TreeUsage {
  /** As du counts: blocks, hard links once. */
  bytes: number;
  inodes: number;
}

/**
 * One archive on its way: hashed as it arrives, inflated (gzip, zstd), hashed again, untarred below a root.
 * Errors carry `code`: EBADMSG malformed, E2BIG over budget, EXDEV a name that leaves, ESTALE a parent in a lower layer.
 */
export class ArchiveStream implements Disposable {
  readonly #handle: Handle;

  constructor(options: ArchiveOptions) {
    const budget = { ...defaultBudget, ...options.budget };
    this.#handle = native.archiveOpen({
      root: options.root ?? -1,
      blob: options.blob ?? -1,
      raw: options.raw === true ? 1 : 0,
      unhashed: options.unhashed === undefined ? 0 : options.unhashed === "blob" ? 1 : 2,
      flags: options.flags ?? 0,
      bytes: budget.bytes,
      plain: budget.bytes,
      entries: budget.entries,
      depth: budget.depth,
      uid: options.owner?.uid ?? 0,
      gid: options.owner?.gid ?? 0,
      metadata: budget.metadata,
      ids: idRanges(options.maps),
    });
  }

  /** The bytes must not change until the promise settles. One call at a time. */
  push(bytes: Uint8Array): Promise<void> {
    return native.archivePush(this.#handle, bytes);
  }
  /** For worker threads. */
  pushSync(bytes: Uint8Array): void {
    native.archivePushSync(this.#handle, bytes);
  }
  finish(): Promise<ArchiveResult> {
    return native.archiveFinish(this.#handle);
  }
  /** All that `fd` has, on a thread of its own; then finishes. */
  run(fd: number): Promise<ArchiveResult> {
    return native.archiveRun(this.#handle, fd);
  }
  /** All of a request's body; then finishes. */
  receive(body: BodyHandle): Promise<ArchiveResult> {
    return native.archiveReceive(this.#handle, body);
  }
  /** The same of a file that is still growing: waits for what arrives. */
  follow(arrival: Arrival): Promise<ArchiveResult> {
    return native.archiveFollow(this.#handle, arrival.handle);
  }
  /** Bytes that run() or follow() has read. */
  get position(): number {
    return native.archivePosition(this.#handle);
  }
  [Symbol.dispose](): void {
    native.archiveClose(this.#handle);
  }
}

/** Removes all that is in `dir`, on a thread of its own. Goes on after an error, and tells the first. */
export const emptyFolder = (dir: string): Promise<void> => withDirectory(dir, (fd) => native.treeEmpty(fd));
export async function treeUsage(dir: string): Promise<TreeUsage> {
  const { bytes, inodes } = await withDirectory(dir, (fd) => native.treeUsage(fd));
  return { bytes, inodes };
}
/** The sizes of all files below `dir`, as ls shows them, hard links once. */
export const contentSize = async (dir: string): Promise<number> => (await withDirectory(dir, (fd) => native.treeUsage(fd))).content;
/** Flushes the file system that `dir` is on (syncfs). */
export const syncFileSystem = (dir: string): Promise<void> => withDirectory(dir, (fd) => native.syncFileSystem(fd));

/** Opens `path` below the folder `root`, with links resolved inside it. Throws an Error with an errno `code`. */
export const openInRoot = (root: number, path: string, flags: number = constants.O_RDONLY): number => native.openInRoot(root, path, flags);
/** The same, but a link that leads out of the folder is EXDEV. */
export const openBeneath = (root: number, path: string, flags: number): number => native.openBeneath(root, path, flags);

/** Reading the folder, which must not be empty, says of what kind its entries are (d_type). */
export const tellsKinds = (dir: string): boolean => withDirectory(dir, (fd) => native.tellsKinds(fd));

export function openDirectory(path: string): number {
  return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
}

/** Closed again when `run` is over, however that ends. */
export function withDirectory<T>(path: string, run: (fd: number) => T): T {
  const fd = openDirectory(path);
  try {
    return run(fd);
  } finally {
    closeSync(fd);
  }
}

/** Gives the file of `fd` a further name on its file system. */
export const linkFile = (fd: number, path: string): void => native.linkFile(fd, path);

/** Copies what is inside a folder into another, empty one: with owners, modes, times, xattrs, hard links, devices and holes. */
export async function copyTree(from: string, to: string): Promise<void> {
  await withDirectory(from, (source) => withDirectory(to, (target) => native.treeCopy(source, target)));
}

/** The same between open folders. */
export const copyOpenTree = (from: number, to: number): Promise<void> => native.treeCopy(from, to);

/** Writes what is below a folder to `out` (a file or a blocking pipe) as a tar archive; the same tree gives the same bytes. With `overlay` the folder is an overlay's upper one and becomes a layer with whiteouts. */
export const writeTree = (dir: string, out: number, overlay: boolean): Promise<void> => withDirectory(dir, (fd) => native.treeWrite(fd, out, overlay));

/** The same of an open folder; with the ids of containers with these maps. */
export const writeOpenTree = (dir: number, out: Output, maps?: UserMaps): Promise<void> => native.treeWrite(dir, out.fd, false, idRanges(maps), out.givenUp);

/** Writes one thing of an open folder under another name, or with `name` "" the folder itself and what is below it. Links are not followed. */
export const writeTreeAs = (from: { dir: number; name: string; maps?: UserMaps | undefined }, renamed: string, out: Output): Promise<void> => native.treeWriteAs(from.dir, from.name, renamed, out.fd, idRanges(from.maps), out.givenUp);

/** What the symbolic link says that an O_PATH fd is of. */
export const readLinkAt = (fd: number): string => native.readLinkAt(fd);

/** Where an archive goes: a file or a blocking pipe, or a connection, with a number that is 0 as long as somebody wants the rest. */
export interface Output {
  fd: number;
  givenUp?: Int32Array;
}

/** What `write` writes on a thread of its own. Owns `dir` from the first step on. */
export function tarFrom(dir: number, write: (out: Output) => Promise<void>): SendableBytes {
  return {
    [Symbol.asyncIterator]: () => piecesFrom(dir, (fd) => write({ fd })),
    sendTo: async ({ signal, fd }) => {
      const givenUp = new Int32Array(1);
      const giveUp = (): void => void (givenUp[0] = 1);
      signal.addEventListener("abort", giveUp, { once: true });
      if (signal.aborted) giveUp();
      try {
        const written = fd < 0 ? Promise.reject(Object.assign(new Error("closed"), { code: "EPIPE" })) : write({ fd, givenUp });
        closeSync(dir);
        await written;
      } catch (error) {
        throw ["EPIPE", "ECONNRESET", "ECANCELED"].includes((error as NodeJS.ErrnoException).code ?? "") ? new DOMException("the client went away", "AbortError") : error;
      } finally {
        signal.removeEventListener("abort", giveUp);
      }
    },
  };
}

/** Through a pipe. Leaving it early ends the thread, too. */
async function* piecesFrom(dir: number, write: (out: number) => Promise<void>): AsyncGenerator<Uint8Array> {
  const net = process.getBuiltinModule("node:net");
  const [readable, writable] = native.pipe();
  const stream = new net.Socket({ fd: readable, readable: true, writable: false });
  const written = write(writable);
  written.catch(() => undefined);
  closeSync(writable);
  closeSync(dir);
  try {
    yield* stream as AsyncIterable<Uint8Array>;
    await written;
  } finally {
    stream.destroy();
    await written.catch(() => undefined);
  }
}

/** An overlay's upper folder as a layer with whiteouts. */
export function layerFrom(upper: string): AsyncIterable<Uint8Array> {
  const dir = openDirectory(upper);
  return piecesFrom(dir, (out) => native.treeWrite(dir, out, true));
}

/** What a tree is to those below it: a whole copy of the first or its snapshot (the same inodes), or an overlay's upper folder. Values are those of enum tree_kind. */
const treeKinds = { copy: 0, overlay: 1, snapshot: 2 } as const;
export type TreeKind = keyof typeof treeKinds;

/** What a tree changed in older ones (the first that has a path counts), as a layer with whiteouts. */
export function changesFrom(tree: string, lowers: readonly string[], kind: TreeKind): AsyncIterable<Uint8Array> {
  const dir = openDirectory(tree);
  return piecesFrom(dir, (out) => {
    const fds: number[] = [];
    try {
      for (const lower of lowers) fds.push(openDirectory(lower));
      return native.treeWriteChanges(dir, fds, out, treeKinds[kind]);
    } finally {
      for (const fd of fds) closeSync(fd);
    }
  });
}

export interface ViewMount {
  source: string;
  /** Absolute inside the root; links are resolved there. */
  destination: string;
  recursive: boolean;
  readOnly: boolean;
}

/** `tree`: an fd of a mount that is attached nowhere. `folder`: an fd of a folder. `process`: an fd of /proc/PID, whose root is taken without what is mounted on it. */
export type ViewRoot = { kind: "tree" | "folder" | "process"; fd: number; /** Of the container: what is made is its root's. */ maps?: UserMaps | undefined };

export interface OpenedView extends Disposable {
  readonly root: number;
}

const VIEW_RECURSIVE = 1;
const VIEW_READ_ONLY = 2;

/** A root with mounts on it, in a mount namespace that no process is in. Missing destinations are made. Throws the errno. */
export async function openView({ kind, fd, maps }: ViewRoot, mounts: readonly ViewMount[]): Promise<OpenedView> {
  const flags = mounts.map(({ recursive, readOnly }) => (recursive ? VIEW_RECURSIVE : 0) | (readOnly ? VIEW_READ_ONLY : 0));
  const sources = mounts.map(({ source }) => source);
  const destinations = mounts.map(({ destination }) => destination);
  const isProcess = kind === "process";
  const fds = await native.viewOpen(isProcess ? -1 : fd, kind === "folder", isProcess ? fd : -1, sources, destinations, flags, idRanges(maps));
  return {
    root: fds[0],
    [Symbol.dispose]: () => {
      for (const opened of fds) if (opened >= 0) closeSync(opened);
    },
  };
}

export interface TreeChange {
  kind: "A" | "C" | "D";
  /** Without a leading slash; bytes that are not UTF-8 are replaced. */
  path: string;
}

/** What a tree changes in those below it, topmost first. */
export async function diffTree(dir: string, lowers: readonly string[], kind: TreeKind): Promise<TreeChange[]> {
  const fds: number[] = [];
  let work: Promise<Buffer>;
  try {
    for (const lower of lowers) fds.push(openDirectory(lower));
    work = withDirectory(dir, (fd) => native.treeDiff(fd, fds, treeKinds[kind]));
  } finally {
    for (const fd of fds) closeSync(fd);
  }
  const changes: TreeChange[] = [];
  const bytes = await work;
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0, at);
    changes.push({ kind: String.fromCharCode(bytes[at] ?? 0) as TreeChange["kind"], path: bytes.toString("utf8", at + 1, end) });
    at = end + 1;
  }
  return changes;
}

export interface OverlayFolders {
  /** Topmost first. */
  lower: readonly string[];
  /** Absent: read-only. */
  own?: { upper: string; work: string };
  options: readonly string[];
  /** Its files have the ids of containers with these maps. */
  maps?: UserMaps | undefined;
}

/** An fd of the root of an overlay that is mounted nowhere; closing it unmounts. Throws the errno. */
export function openOverlay({ lower, own, options, maps }: OverlayFolders): number {
  const folders = own ? [own.upper, own.work] : [];
  const [folder, mapped] = maps ? layerMaps(maps, [...lower, ...folders]) : ["", []];
  return native.overlayOpen(lower, folders, options, folder, mapped);
}
