/** Files inside a container's root, found without leaving it (openat2 with RESOLVE_IN_ROOT and without magic links). */
import { addon } from "./addon.ts";

const native = addon as { readInRoot(root: string, path: string, maxBytes: number): Promise<Buffer> };

/** The content of a regular file of at most `maxBytes` below `root`; undefined when there is none. Links lead nowhere outside. Anything but a regular file, and a larger one, is an error. */
export async function readInRoot(root: string, path: string, maxBytes: number): Promise<Buffer | undefined> {
  try {
    return await native.readInRoot(root, path, maxBytes);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}
