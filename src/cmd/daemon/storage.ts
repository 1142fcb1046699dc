/** Which storage driver the daemon works with: the one that is asked for, or else the one that was used before, or the first that works here. */
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

/** Read from the disk only when it is needed. */
interface LazyDriver {
  id: string;
  load: () => Promise<Driver>;
}

const zfs: LazyDriver = { id: "zfs", load: () => import("../../drivers/storage-zfs/index.ts") };

/** In the order of preference. */
const usual: readonly (Driver | LazyDriver)[] = [overlay2, fuseOverlayfs, btrfs, zfs, vfs];

/** By name, or where they were used before. */
const special: readonly LazyDriver[] = [{ id: "devicemapper", load: () => import("../../drivers/storage-devicemapper/index.ts") }];

const all = [...usual, ...special];
const ids = all.map(({ id }) => id);

const migration = "to keep images, save them with the engine that has them (docker save) and load them here";

/** `maps`: containers' ids will be mapped by these, which the driver must be able to. */
export async function openSnapshotter({ dataRoot, storage }: Pick<DaemonConfig, "dataRoot" | "storage">, log: Logger, maps?: UserMaps): Promise<Snapshotter> {
  const folder = (id: string): string => join(dataRoot, "layers", id);
  const open = (driver: Driver): Snapshotter => driver.create(folder(driver.id), { initLayer: true, options: storage.options, warn: (message) => log.warn(`${driver.id}: ${message}`), ...(maps && { maps }) });
  if (storage.driver !== "") return open(await loaded(knownName(storage.driver)));
  const prior = priorOf(ids.filter((id) => LayerFolders.hasAny(folder(id))), dataRoot);
  if (prior !== undefined) {
    if (prior !== overlay2.id) log.info(`using prior storage driver: ${prior}`);
    return open(await loaded(prior));
  }
  return firstThatWorks(open, log);
}

const loaded = async (id: string): Promise<Driver> => read(all.find((driver) => driver.id === id)!);

const read = async (driver: Driver | LazyDriver): Promise<Driver> => ("load" in driver ? driver.load() : driver);

function knownName(name: string): string {
  // containerd calls it overlayfs.
  const id = name === "overlayfs" ? overlay2.id : name;
  if (ids.includes(id)) return id;
  throw invalidParameter(`${refusalOf(id)}; there are ${ids.join(", ")}`);
}

function refusalOf(name: string): string {
  if (name === "aufs" || name === "overlay") return `the ${name} storage-driver has been deprecated and removed, as in Docker: use overlay2, which works wherever ${name} did; ${migration}`;
  return `the storage driver ${JSON.stringify(name)} is not supported`;
}

/** Throws when there are several: their containers would seem to be gone. As in Docker, what vfs left counts only beside nothing else. */
function priorOf(used: readonly string[], dataRoot: string): string | undefined {
  const layered = used.filter((id) => id !== vfs.id);
  if (layered.length > 1) throw invalidParameter(`${dataRoot} contains several valid graphdrivers: ${layered.join(", ")}; cleanup or explicitly choose storage driver (-s <DRIVER>)`);
  return layered[0] ?? used[0];
}

async function firstThatWorks(open: (driver: Driver) => Snapshotter, log: Logger): Promise<Snapshotter> {
  const reasons: string[] = [];
  for (const driver of usual) {
    try {
      const snapshotter = open(await read(driver));
      if (reasons.length > 0) log.warn(`using the storage driver ${driver.id}: ${reasons.join("; ")}`);
      return snapshotter;
    } catch (error) {
      if (codeOf(error) !== "unavailable") throw error;
      reasons.push(messageOf(error));
    }
  }
  throw unavailable(`no supported storage driver found: ${reasons.join("; ")}`);
}
