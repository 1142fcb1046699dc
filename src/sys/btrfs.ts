/** Subvolumes of btrfs: typed views of native/addon/btrfs.c. They are removed like folders, by emptyFolder. */
import { closeSync } from "node:fs";
import { basename, dirname } from "node:path";
import { addon } from "./addon.ts";
import { openDirectory } from "./archive.ts";

const native = addon as unknown as {
  subvolumeCreate(parent: number, name: string): void;
  subvolumeSnapshot(parent: number, name: string, source: number): void;
  subvolumeLimit(fd: number, bytes: number): void;
};

/** A new, empty one. Throws the errno. */
export const createSubvolume = (path: string): void => withFolder(dirname(path), (parent) => native.subvolumeCreate(parent, basename(path)));

/** A writable one with all that `source` has now, but for subvolumes inside it. */
export const snapshotSubvolume = (source: string, path: string): void => withFolder(source, (from) => withFolder(dirname(path), (parent) => native.subvolumeSnapshot(parent, basename(path), from)));

/** The bytes that it may refer to, with what it shares with others. Switches quotas of the file system on. */
export const limitSubvolume = (path: string, bytes: number): void => withFolder(path, (fd) => native.subvolumeLimit(fd, bytes));

function withFolder<T>(folder: string, use: (fd: number) => T): T {
  const fd = openDirectory(folder);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}
