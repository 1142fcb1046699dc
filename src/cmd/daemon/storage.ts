/** Which storage driver the daemon works with: the one that is asked for, or else the one that was used before, or the first that works here. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "../../core/logger.ts";
import type { Snapshotter, SnapshotterOptions } from "../../core/snapshotter.ts";
import * as btrfs from "../../drivers/storage-btrfs/index.ts";
import * as fuseOverlayfs from "../../drivers/storage-fuse-overlayfs/index.ts";
import * as overlay2 from "../../drivers/storage-overlay2/index.ts";
import * as vfs from "../../drivers/storage-vfs/index.ts";
import { codeOf, invalidParameter, messageOf, unavailable } from "../../lib/errors.ts";
import type { UserMaps } from "../../lib/user-maps.ts";
import { LayerFolders } from "../../sys/layer-folders.ts";
import type { DaemonConfig } from "./config.ts";

interface Driver {
  id: string;
  create(dir: string, options: SnapshotterOptions): Snapshotter;
}

/** In the order of preference. */
const usual: readonly Driver[] = [overlay2, fuseOverlayfs, btrfs, vfs];

/** By name, or where they were used before; read from the disk only then. */
const special: readonly { id: string; load: () => Promise<Driver> }[] = [
  { id: "devicemapper", load: () => import("../../drivers/storage-devicemapper/index.ts") },
];

const ids = [...usual, ...special].map(({ id }) => id);

const migration = "to keep images, save them with the engine that has them (docker save) and load them here";

/** `maps`: containers' ids will be mapped by these, which the driver must be able to. */
export async function openSnapshotter({ dataRoot, storage }: Pick<DaemonConfig, "dataRoot" | "storage">, log: Logger, maps?: UserMaps): Promise<Snapshotter> {
  const folder = (id: string): string => join(dataRoot, "layers", id);
  const open = (driver: Driver): Snapshotter => driver.create(folder(driver.id), { initLayer: true, options: storage.options, warn: (message) => log.warn(`${driver.id}: ${message}`), ...(maps && { maps }) });
  if (storage.driver !== "") return open(await load(knownName(storage.driver)));
  const prior = priorOf(ids.filter((id) => LayerFolders.hasAny(folder(id))), dataRoot);
  if (prior !== undefined) {
    if (prior !== overlay2.id) log.info(`using prior storage driver: ${prior}`);
    return open(await load(prior));
  }
  return firstThatWorks(open, log);
}

const load = async (id: string): Promise<Driver> => usual.find((driver) => driver.id === id) ?? special.find((driver) => driver.id === id)!.load();

function knownName(name: string): string {
  // containerd calls it overlayfs.
  const id = name === "overlayfs" ? overlay2.id : name;
  if (ids.includes(id)) return id;
  throw invalidParameter(`${refusalOf(id)}; there are ${ids.join(", ")}`);
}

function refusalOf(name: string): string {
  if (name === "aufs" || name === "overlay") return `the ${name} storage-driver has been deprecated and removed, as in Docker: use overlay2, which works wherever ${name} did; ${migration}`;
  if (name === "zfs") return `the storage driver zfs is not supported${hasFileSystem("zfs") ? ": overlay2 works on ZFS 2.2 and later" : ": this kernel has no ZFS"}; ${migration}`;
  return `the storage driver ${JSON.stringify(name)} is not supported`;
}

const hasFileSystem = (name: string): boolean => readFileSync("/proc/filesystems", "utf8").split(/\s+/).includes(name);

/** Throws when there are several: their containers would seem to be gone. As in Docker, what vfs left counts only beside nothing else. */
function priorOf(used: readonly string[], dataRoot: string): string | undefined {
  const layered = used.filter((id) => id !== vfs.id);
  if (layered.length > 1) throw invalidParameter(`${dataRoot} contains several valid graphdrivers: ${layered.join(", ")}; cleanup or explicitly choose storage driver (-s <DRIVER>)`);
  return layered[0] ?? used[0];
}

function firstThatWorks(open: (driver: Driver) => Snapshotter, log: Logger): Snapshotter {
  const reasons: string[] = [];
  for (const driver of usual) {
    try {
      const snapshotter = open(driver);
      if (reasons.length > 0) log.warn(`using the storage driver ${driver.id}: ${reasons.join("; ")}`);
      return snapshotter;
    } catch (error) {
      if (codeOf(error) !== "unavailable") throw error;
      reasons.push(messageOf(error));
    }
  }
  throw unavailable(`no supported storage driver found: ${reasons.join("; ")}`);
}
