/** Subvolumes of btrfs: typed views of native/addon/btrfs.c. They are removed like folders, by emptyFolder. */
import { basename, dirname } from "node:path";
import { addon } from "./addon.ts";
import { withDirectory } from "./archive.ts";

const native = addon as unknown as {
  subvolumeCreate(parent: number, name: string): void;
  subvolumeSnapshot(parent: number, name: string, source: number): void;
  subvolumeLimit(fd: number, bytes: number): void;
};

/** A new, empty one. Throws the errno. */
export const createSubvolume = (path: string): void => withDirectory(dirname(path), (parent) => native.subvolumeCreate(parent, basename(path)));

/** A writable one with all that `source` has now, but for subvolumes inside it. */
export const snapshotSubvolume = (source: string, path: string): void => withDirectory(source, (from) => withDirectory(dirname(path), (parent) => native.subvolumeSnapshot(parent, basename(path), from)));

/** The bytes that it may refer to, with what it shares with others. Switches quotas of the file system on. */
export const limitSubvolume = (path: string, bytes: number): void => withDirectory(path, (fd) => native.subvolumeLimit(fd, bytes));
