/** A container's writable layer, and what keeps it from being used: another storage driver, or a limit that cannot be kept. */
import type { ContainerRecord } from "../../core/container.ts";
import { conflict } from "../../lib/errors.ts";
import type { ContainerLayers, OpenLayer } from "./context.ts";
import { mappedMounts, mapsOf, type UserSettings } from "./user-namespace.ts";

type Layered = Pick<ContainerRecord, "id" | "storageDriver" | "hostConfig">;

/** Throws for a container that another storage driver made. */
export function requireLayer(layers: Pick<ContainerLayers, "driver">, { id, storageDriver }: Layered): void {
  if (storageDriver === layers.driver) return;
  throw conflict(`container ${id} was made with the storage driver ${storageDriver}, and this daemon runs with ${layers.driver}: start the daemon with --storage-driver=${storageDriver} to use it, or make it anew from its image`);
}

/** Throws also for storage options that this driver cannot do, with Docker's words: as in Docker they are taken at create. */
export async function layerForStart(layers: ContainerLayers, record: Layered, settings: UserSettings): Promise<OpenLayer> {
  requireLayer(layers, record);
  const options = record.hostConfig.StorageOpt ?? {};
  if (Object.keys(options).length > 0 && layers.limitFor(options) !== undefined && layers.limitOf(record.id) === undefined) {
    throw conflict(`container ${record.id} has no limit of its size: it was made when its file system had no quotas; make it anew`);
  }
  return openLayer(layers, record, settings);
}

/** As the container sees it. */
export async function openLayer(layers: Pick<ContainerLayers, "open">, record: Layered, settings: UserSettings): Promise<OpenLayer> {
  const layer = await layers.open(record.id);
  return { mounts: mappedMounts(layer.mounts, mapsOf(settings, record)), [Symbol.asyncDispose]: () => layer[Symbol.asyncDispose]() };
}
