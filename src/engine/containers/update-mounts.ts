/** Binds and volumes that come into a container and go from it, also while it runs. */
import type { HostConfig, Mount, UpdateRequest } from "../../core/container-config.ts";
import type { ContainerRecord, MountPoint } from "../../core/container.ts";
import { conflict, GantryError, messageOf, notFound, notImplemented, systemError } from "../../lib/errors.ts";
import { faultPoint } from "../../lib/fault.ts";
import type { ContainersContext } from "./context.ts";
import { hasEnded } from "./files/errno.ts";
import { resolveMountPoints, type WantedVolume } from "./mounts/points.ts";
import { parseBind, validateMount } from "./mounts/spec.ts";
import { isVolume, mountVolume, unmountVolume } from "./mounts/volumes.ts";
import { cleanPath } from "./validate/config.ts";

type MountChange = Pick<UpdateRequest, "MountAdd" | "MountRemove">;

export const changesMounts = ({ MountAdd, MountRemove }: MountChange): boolean => (MountAdd?.length ?? 0) + (MountRemove?.length ?? 0) > 0;

/** Checks all, then adds, then removes; the record has what the container has at each moment. What was added goes again when a later addition fails. The container's lock is held. */
export async function changeMounts(context: ContainersContext, record: ContainerRecord, { MountAdd, MountRemove }: MountChange): Promise<void> {
  const add = MountAdd ?? [];
  const remove = (MountRemove ?? []).map((target) => pointAt(record, target));
  for (const mount of add) refuse(record, mount);
  const plan = await resolveMountPoints({ ...record.hostConfig, Binds: null, VolumesFrom: null, Mounts: add }, null, {
    checkVolume: (request) => context.volumes.validate(request),
    findContainer: (ref) => context.store.find(ref),
    resolveImage: async (ref) => context.images.resolve(ref),
    dataRoot: context.settings.dataRoot,
    readOnlyNonRecursive: false,
  });
  const added: Added[] = [];
  try {
    for (const point of plan.points) {
      const mount = add.find(({ Target }) => cleanPath(Target) === point.destination) as Mount;
      added.push(await addPoint(context, record, { point, mount, request: plan.volumes.get(point) }));
    }
  } catch (error) {
    for (const one of added) await undo(context, record, one).catch((failure: unknown) => context.warn(`undoing the mount at ${one.point.destination} of container ${record.id}: ${messageOf(failure)}`));
    throw error;
  }
  for (const point of remove) await removePoint(context, record, point);
}

interface Added {
  point: MountPoint;
  /** The name of a volume that was made for it. */
  made: string | undefined;
}

async function undo(context: ContainersContext, record: ContainerRecord, { point, made }: Added): Promise<void> {
  await removePoint(context, record, point);
  if (made !== undefined) await context.volumes.remove(made);
}

function pointAt(record: ContainerRecord, target: string): MountPoint {
  const point = record.mounts.find(({ destination }) => destination === cleanPath(target));
  if (!point) throw notFound(`the container has no mount at ${target}`);
  if (point.type !== "bind" && point.type !== "volume") throw notImplemented(`the mount at ${target} is of type ${point.type}: only binds and volumes go from a container that is made`);
  return point;
}

const RESERVED = /^\/(proc|sys)(\/|$)|^\/dev$/;

function refuse(record: ContainerRecord, mount: Mount): void {
  validateMount(mount);
  const destination = cleanPath(mount.Target);
  if (mount.Type !== "bind" && mount.Type !== "volume") throw notImplemented(`mounts of type ${mount.Type} cannot be added to a container that is made: only bind and volume`);
  if (RESERVED.test(destination)) throw conflict(`${destination} is of the container's own mounts`);
  if (Object.hasOwn(record.hostConfig.Tmpfs ?? {}, destination) || record.mounts.some((point) => point.destination === destination)) throw conflict(`the container has a mount at ${destination} already`);
  const { Propagation = "", ReadOnlyNonRecursive = false } = mount.BindOptions ?? {};
  if (!["", "private", "rprivate"].includes(Propagation)) throw notImplemented(`a mount of propagation ${Propagation} cannot be added to a container that is made`);
  if (mount.ReadOnly && ReadOnlyNonRecursive) throw notImplemented("a mount that is read-only without what is mounted below it cannot be added to a container that is made");
}

/** Of a container that runs. */
const processOf = ({ id, state }: ContainerRecord): { id: string; pid: number } | undefined => (state.status === "running" || state.status === "paused" ? { id, pid: state.pid } : undefined);

interface Addition {
  point: MountPoint;
  mount: Mount;
  request: WantedVolume | undefined;
}

/** It is written down first: what is mounted is always known. */
async function addPoint(context: ContainersContext, record: ContainerRecord, { point, mount, request }: Addition): Promise<Added> {
  const { mounts, hostConfig } = record;
  const made = request && (await take(context, record, { point, request }));
  try {
    record.mounts = [...mounts, point].sort((a, b) => (a.destination < b.destination ? -1 : 1));
    record.hostConfig = { ...hostConfig, Mounts: [...(hostConfig.Mounts ?? []), mount] };
    context.store.save(record);
    faultPoint("mount-recorded");
    await appear(context, record, point);
    return { point, made };
  } catch (error) {
    Object.assign(record, { mounts, hostConfig });
    context.store.save(record);
    await letGo(context, record, point);
    if (made !== undefined) await context.volumes.remove(made).catch((failure: unknown) => context.warn(messageOf(failure)));
    throw error;
  }
}

/** Finds or makes its volume; the name of one that was made. */
async function take(context: ContainersContext, record: ContainerRecord, { point, request }: { point: MountPoint; request: WantedVolume }): Promise<string | undefined> {
  const { volume, isNew } = await context.volumes.create(request);
  Object.assign(point, { name: volume.Name, driver: volume.Driver, source: volume.Mountpoint });
  context.volumes.hold(volume.Name, record.id);
  return isNew ? volume.Name : undefined;
}

async function appear(context: ContainersContext, record: ContainerRecord, point: MountPoint): Promise<void> {
  const container = processOf(record);
  if (!container) return;
  const source = isVolume(point) ? await mountVolume(context, record, point) : point.source;
  await explained(point, () => context.liveMounts.add(container, { source, destination: point.destination, recursive: point.bind?.nonRecursive !== true, readOnly: !point.rw }));
}

async function removePoint(context: ContainersContext, record: ContainerRecord, point: MountPoint): Promise<void> {
  const container = processOf(record);
  if (container && !(await explained(point, () => context.liveMounts.remove(container, point.destination)))) throw conflict(`nothing is mounted at ${point.destination} in the container: a link leads there, or a program in it took the mount away`);
  faultPoint("mount-gone");
  record.mounts = record.mounts.filter((other) => other !== point);
  record.hostConfig = without(record.hostConfig, point.destination);
  context.store.save(record);
  await letGo(context, record, point);
}

/** Its volume is not used at this place any more. */
async function letGo(context: ContainersContext, record: ContainerRecord, point: MountPoint): Promise<void> {
  if (!isVolume(point)) return;
  await unmountVolume(context, record, point);
  if (!record.mounts.some(({ name }) => name === point.name)) context.volumes.release(point.name, record.id);
}

function without(hostConfig: HostConfig, destination: string): HostConfig {
  const { Mounts, Binds } = hostConfig;
  return {
    ...hostConfig,
    Mounts: Mounts && Mounts.filter(({ Target }) => cleanPath(Target) !== destination),
    Binds: Binds && Binds.filter((bind) => cleanPath(parseBind(bind, hostConfig.VolumeDriver).mount.Target) !== destination),
  };
}

async function explained<T>({ destination }: MountPoint, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (hasEnded(error)) throw conflict("the container ended just now");
    throw error instanceof GantryError ? error : systemError(`the mount at ${destination}: ${messageOf(error)}`, error);
  }
}
