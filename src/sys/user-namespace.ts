/** User namespaces that no process is in, and what is shown with their ids: typed views of native/addon/userns.c. */
import { closeSync } from "node:fs";
import { dirname } from "node:path";
import { messageOf, unavailable } from "../lib/errors.ts";
import { mapText, rootOf, type UserMaps } from "../lib/user-maps.ts";
import { addon } from "./addon.ts";
import { fileSystemOf } from "./file-system.ts";

const native = addon as unknown as {
  userNamespace(uidMap: string, gidMap: string): number;
  mappedOpen(userns: number, path: string): number;
};

/** Kept open: there are as many as there are different maps. */
const namespaces = new Map<string, number>();

/** An fd of one with these maps, which stays open. Throws the errno. */
export function userNamespaceOf({ uids, gids }: UserMaps): number {
  const [uidMap, gidMap] = [mapText(uids), mapText(gids)];
  const key = `${uidMap}:${gidMap}`;
  const fd = namespaces.get(key) ?? native.userNamespace(uidMap, gidMap);
  namespaces.set(key, fd);
  return fd;
}

/** An fd of a mount that is attached nowhere: what is at the path, with the ids of containers with these maps. Throws the errno. */
export const openMapped = (path: string, maps: UserMaps): number => native.mappedOpen(userNamespaceOf(maps), path);

/** Throws "unavailable" where openMapped would not work. */
export function checkMapped(dir: string, maps: UserMaps): void {
  try {
    closeSync(openMapped(dir, maps));
  } catch (error) {
    throw unavailable(`--userns-remap needs id-mapped mounts, which ${fileSystemOf(dir)} at ${dir} on this kernel cannot have: ${messageOf(error)}`, error);
  }
}

/** How native/addon/archive_ids.c reads maps: kind (0 users, 1 groups), inside, outside, size. */
export function idRanges(maps: UserMaps | undefined): Uint32Array | undefined {
  if (!maps) return undefined;
  const ranges = [maps.uids, maps.gids].flatMap((mappings, kind) => mappings.map(({ containerID, hostID, size }) => [kind, containerID, hostID, size]));
  return Uint32Array.from(ranges.flat());
}

/** What native/addon/archive_overlay.c takes for layers with mapped ids: the folder that has them all, and who makes files in them. */
export function layerMaps(maps: UserMaps, layers: readonly string[]): [folder: string, maps: readonly number[]] {
  const { uid, gid } = rootOf(maps);
  return [commonFolder(layers), [userNamespaceOf(maps), uid, gid]];
}

/** The deepest folder that all paths are in. */
export function commonFolder(paths: readonly string[]): string {
  let folder = dirname(paths[0] ?? "/");
  while (folder !== "/" && !paths.every((path) => path.startsWith(`${folder}/`))) folder = dirname(folder);
  return folder;
}
