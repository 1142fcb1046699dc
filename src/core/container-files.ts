/**
 * A container's files as its users see them from outside: the root file system with the container's volumes and binds, but
 * without what the runtime mounts (/proc, /dev, tmpfs). Every path is resolved inside it, whatever the container does meanwhile.
 * Errors of the machine carry an errno name as `code`.
 */
import type { RootfsMount } from "./runtime.ts";

export interface ContainerView extends Disposable {
  /** Of what is at the path; a link is followed only when a slash or a dot comes after it. */
  stat(path: string): FileStat;
  /** The path with all links followed, as far as there is something. */
  resolve(path: string): string;
  /** A small regular file; undefined when there is none. */
  read(path: string, mostBytes: number): Promise<Buffer | undefined>;
  /** What is at the path as a tar archive whose topmost entry has the given name. */
  archive(path: string, name: string): AsyncIterable<Uint8Array>;
  /** All of it as a tar archive. */
  archiveAll(): AsyncIterable<Uint8Array>;
  /** Untars into a folder. */
  extract(path: string, bytes: AsyncIterable<Uint8Array>, options: ExtractOptions): Promise<void>;
}

export interface FileStat {
  kind: "file" | "folder" | "link" | "fifo" | "socket" | "block-device" | "character-device";
  size: number;
  /** The lower twelve bits. */
  permissions: number;
  /** Nanoseconds since 1970. */
  modified: bigint;
}

export interface ExtractOptions {
  /** No folder in place of something else, nor the other way round. */
  keepKind: boolean;
  /** Who gets everything; absent: as the archive says. */
  owner?: { uid: number; gid: number };
}

/** An archive of `extract` that has something of another kind than what is there. */
export class KindConflict extends Error {
  readonly path: string;
  readonly isFolder: boolean;

  /** `isFolder`: what is there is a folder. */
  constructor(path: string, isFolder: boolean) {
    super(`${path} is ${isFolder ? "a folder" : "no folder"}`);
    this.path = path;
    this.isFolder = isFolder;
  }
}

export interface FilesMount {
  source: string;
  destination: string;
  recursive: boolean;
  readOnly: boolean;
}

/** Mounts that come and go while a container runs. Errors of the machine carry an errno name as `code`. */
export interface LiveMounts {
  /** The destination is made when it is missing; links are resolved inside the container. */
  add(container: { id: string; pid: number }, mount: FilesMount): Promise<void>;
  /** False when nothing is mounted at just this path. Who has files of it open keeps them. */
  remove(container: { id: string; pid: number }, destination: string): Promise<boolean>;
  /** Takes a device node away, or the empty file that a mounted one leaves. False when there is none. */
  removeDevice(container: { id: string; pid: number }, path: string): Promise<boolean>;
}

/** Of a container that runs by its process, of another by its mounts, which nothing else uses meanwhile. */
export type FilesRoot = { id: string; pid: number } | { rootfs: readonly RootfsMount[] };

/** Shallow destinations come first. */
export type OpenFiles = (root: FilesRoot, mounts: readonly FilesMount[]) => Promise<ContainerView>;
