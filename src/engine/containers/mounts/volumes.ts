/** The volumes among a container's mount points: taken at its creation, mounted while it runs, given back at its removal. */
import { join } from "node:path";
import type { ContainerRecord, MountPoint } from "../../../core/container.ts";
import type { RootfsView } from "../../../core/rootfs.ts";
import { codeOf, GantryError, messageOf, systemError } from "../../../lib/errors.ts";
import { faultPoint } from "../../../lib/fault.ts";
import type { ContainersContext } from "../context.ts";
import { openLayer } from "../layer.ts";
import type { MountPlan, WantedVolume } from "./points.ts";
import { partOf, usesPlaces } from "./subpaths.ts";

type NamedPoint = MountPoint & { name: string; volume: NonNullable<MountPoint["volume"]> };

export const isVolume = (point: MountPoint): point is NamedPoint => point.type === "volume" && point.name !== undefined && point.volume !== undefined;
export const volumesOf = (record: ContainerRecord): NamedPoint[] => record.mounts.filter(isVolume);

/** Takes the volumes of a container whose layer is made, then does `rest`. When something fails, nothing is left of it. */
export async function withVolumes(context: ContainersContext, record: ContainerRecord, { wanted, rest }: { wanted: MountPlan["volumes"]; rest: () => void }): Promise<void> {
  if (wanted.size === 0 && !record.mounts.some(isVolume)) return rest();
  const made: string[] = [];
  try {
    for (const { name } of volumesOf(record)) context.volumes.hold(name, record.id);
    if (wanted.size > 0) await takeAll(context, record, { wanted, made });
    rest();
    context.volumes.settle(record.id);
  } catch (error) {
    for (const { name } of volumesOf(record)) context.volumes.release(name, record.id);
    for (const name of made) await context.volumes.remove(name).catch((failure: unknown) => context.warn(`a volume of a container that could not be made: ${messageOf(failure)}`));
    throw error;
  }
}

async function takeAll(context: ContainersContext, record: ContainerRecord, { wanted, made }: { wanted: MountPlan["volumes"]; made: string[] }): Promise<void> {
  await using layer = await openLayer(context.layers, record, context.settings);
  using rootfs = context.openRootfs(layer.mounts);
  for (const [point, request] of wanted) {
    if (request.implied && rootfs.kindOf(point.destination) === "other") throw systemError(`cannot mount volume over existing file, file exists ${point.destination}`);
    const { volume, isNew } = await context.volumes.create(request, record.id);
    if (isNew) made.push(volume.Name);
    Object.assign(point, { name: volume.Name, driver: volume.Driver, source: volume.Mountpoint });
  }
  faultPoint("create-volumes");
  for (const [point, request] of wanted) if (isVolume(point)) await fill(context, { record, point, request, rootfs });
}

interface Filling {
  record: ContainerRecord;
  point: NamedPoint;
  request: WantedVolume;
  rootfs: RootfsView;
}

/** Gives an empty volume what the image has at its destination. */
async function fill({ volumes }: ContainersContext, { record, point, request, rootfs }: Filling): Promise<void> {
  if (!request.copy || rootfs.kindOf(point.destination) !== "folder") return;
  const reference = referenceOf(record, point);
  await volumes.alone(point.name, async () => {
    try {
      const folder = await volumes.mount(point.name, reference);
      await rootfs.copyOut(point.destination, { folder, subpath: point.volume.subpath });
    } catch (error) {
      throw new GantryError(codeOf(error), `failed to populate volume: ${messageOf(error)}`, { cause: error });
    } finally {
      await volumes.unmount(point.name, reference);
    }
  });
}

/** Makes the data of its volumes appear for a run; where, by destination. */
export async function mountVolumes(context: ContainersContext, record: ContainerRecord): Promise<Map<string, string>> {
  const sources = new Map<string, string>();
  for (const point of volumesOf(record)) {
    if (Object.hasOwn(record.hostConfig.Tmpfs ?? {}, point.destination)) continue;
    sources.set(point.destination, await mountVolume(context, record, point));
  }
  return sources;
}

/** Makes one appear; where. */
export async function mountVolume({ volumes, subpaths, events }: ContainersContext, record: ContainerRecord, point: NamedPoint): Promise<string> {
  volumes.hold(point.name, record.id);
  const folder = await volumes.mount(point.name, referenceOf(record, point));
  // A plugin may say only now where it is.
  point.source = folder;
  const { subpath } = point.volume;
  const source = subpath === "" ? folder : partOf(subpaths, record.id, { folder, subpath });
  const attributes = { driver: point.driver ?? "", container: record.id, destination: point.destination, "read/write": String(point.rw), propagation: point.propagation };
  events.emit({ type: "volume", action: "mount", actor: { id: point.name, attributes } });
  return source;
}

export async function unmountVolume({ volumes, events }: ContainersContext, record: ContainerRecord, point: NamedPoint): Promise<void> {
  if (await volumes.unmount(point.name, referenceOf(record, point))) events.emit({ type: "volume", action: "unmount", actor: { id: point.name, attributes: { driver: point.driver ?? "", container: record.id } } });
}

/** Where they would be, by destination, of a container that may not be made. */
export function plannedVolumes({ volumes }: ContainersContext, record: ContainerRecord): Map<string, string> {
  const points = record.mounts.filter(({ type }) => type === "volume");
  return new Map(points.map(({ destination, name = "new-volume", volume }) => [destination, join(volumes.pathOf(name), volume?.subpath ?? "")]));
}

/** Gives back what mountVolumes took. Idempotent. */
export async function unmountVolumes(context: ContainersContext, record: ContainerRecord): Promise<void> {
  const points = volumesOf(record);
  if (usesPlaces(record)) context.subpaths.release(record.id);
  for (const point of points) await unmountVolume(context, record, point);
}

/** After the daemon's restart, of a container that runs on. */
export function restoreVolumes({ volumes }: ContainersContext, record: ContainerRecord): void {
  for (const point of volumesOf(record)) volumes.restore(point.name, referenceOf(record, point));
}

/** Of a container that is being removed. With `anonymous`, volumes that nobody named go, too, unless another container has them. */
export async function releaseVolumes({ volumes, warn }: ContainersContext, record: ContainerRecord, { anonymous }: { anonymous: boolean }): Promise<void> {
  for (const { name, volume } of volumesOf(record)) {
    volumes.release(name, record.id);
    if (!anonymous || !volume.anonymous || volumes.isUsed(name)) continue;
    await volumes.remove(name, { force: true }).catch((error: unknown) => {
      if (codeOf(error) !== "conflict") warn(`removing the volumes of container ${record.id}: ${messageOf(error)}`);
    });
  }
}

/** One volume can be at several places of one container. */
const referenceOf = (record: ContainerRecord, point: MountPoint): string => `${record.id}:${point.destination}`;
