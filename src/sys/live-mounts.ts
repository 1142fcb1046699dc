/** Mounts of a container that runs: typed views of native/addon/archive_live.c. */
import { readFileSync } from "node:fs";
import type { UserMaps } from "../lib/user-maps.ts";
import { addon } from "./addon.ts";
import { mountIdAt } from "./mount-table.ts";
import { idRanges } from "./user-namespace.ts";

const native = addon as unknown as {
  liveMount(process: number, source: string, destination: string, flags: number, ids?: Uint32Array): Promise<void>;
  liveUnmount(process: number, destination: string, mountId: number): Promise<void>;
  liveUnlink(process: number, destination: string): Promise<void>;
};

const RECURSIVE = 1;
const READ_ONLY = 2;

export interface LiveMount {
  source: string;
  /** Absolute, as the container sees it; links are resolved there. Made when it is missing. */
  destination: string;
  recursive: boolean;
  readOnly: boolean;
}

/** Lets what is at the source appear in the mount namespace of a process, an fd of /proc/PID. With the maps of its user namespace: what is made is its root's. Throws an Error with an errno `code`. */
export const mountInto = (process: number, { source, destination, recursive, readOnly }: LiveMount, maps?: UserMaps): Promise<void> =>
  native.liveMount(process, source, destination, (recursive ? RECURSIVE : 0) | (readOnly ? READ_ONLY : 0), idRanges(maps));

/** Takes the topmost mount at the destination away; who has files of it open keeps them. False when nothing is mounted at just this path. */
export async function unmountFrom(process: number, destination: string): Promise<boolean> {
  const id = mountIdAt(readFileSync(`/proc/self/fd/${process}/mountinfo`, "utf8"), destination);
  if (id === undefined) return false;
  await native.liveUnmount(process, destination, id);
  return true;
}

/** Removes a device node, or the empty file that one was mounted on. False when there is nothing of the kind. */
export async function unlinkDevice(process: number, path: string): Promise<boolean> {
  try {
    await native.liveUnlink(process, path);
    return true;
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "ENODEV"].includes((error as NodeJS.ErrnoException).code ?? "")) return false;
    throw error;
  }
}
