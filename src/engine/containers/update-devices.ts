/** Devices that come into a container and go from it, also while it runs: its device rules, and a node at the path, which is the host's, bound. */
import type { HostConfig, UpdateRequest } from "../../core/container-config.ts";
import type { ContainerRecord } from "../../core/container.ts";
import { conflict, GantryError, invalidParameter, messageOf, notFound, notImplemented, systemError } from "../../lib/errors.ts";
import type { ContainersContext } from "./context.ts";
import { hasEnded } from "./files/errno.ts";
import { runtimeNamed } from "./runtimes.ts";
import { devicesOf, mappedDevices } from "./spec/devices.ts";
import { cleanPath } from "./validate/config.ts";

type DeviceChange = Pick<UpdateRequest, "DeviceAdd" | "DeviceRemove">;
type Mapping = NonNullable<UpdateRequest["DeviceAdd"]>[number];

export const changesDevices = ({ DeviceAdd, DeviceRemove }: DeviceChange): boolean => (DeviceAdd?.length ?? 0) + (DeviceRemove?.length ?? 0) > 0;

const RESERVED = /^\/(proc|sys)(\/|$)|^\/dev$|^\/$/;

/** Checks all, then adds, then removes; the record has what the container has at each moment. What was added goes again when a later addition fails. The container's lock is held. */
export async function changeDevices(context: ContainersContext, record: ContainerRecord, { DeviceAdd, DeviceRemove }: DeviceChange): Promise<void> {
  const add = (DeviceAdd ?? []).map(completed);
  const remove = (DeviceRemove ?? []).map((path) => mappingAt(record, path));
  for (const mapping of add) refuse(context, record, mapping);
  if (processOf(record)) refuseOthersGroups(context, record);
  const added: Mapping[] = [];
  try {
    for (const mapping of add) {
      await addOne(context, record, mapping);
      added.push(mapping);
    }
  } catch (error) {
    for (const mapping of added) await removeOne(context, record, mapping).catch((failure: unknown) => context.warn(`undoing the device ${mapping.PathInContainer} of container ${record.id}: ${messageOf(failure)}`));
    throw error;
  }
  for (const mapping of remove) await removeOne(context, record, mapping);
}

const completed = ({ PathOnHost, PathInContainer, CgroupPermissions }: Mapping): Mapping => ({ PathOnHost: cleanPath(PathOnHost), PathInContainer: cleanPath(PathInContainer === "" ? PathOnHost : PathInContainer), CgroupPermissions: CgroupPermissions === "" ? "rwm" : CgroupPermissions });

function mappingAt(record: ContainerRecord, path: string): Mapping {
  const mapping = (record.hostConfig.Devices ?? []).find(({ PathInContainer }) => cleanPath(PathInContainer) === cleanPath(path));
  if (!mapping) throw notFound(`the container was given no device at ${path}`);
  return mapping;
}

function refuse({ host }: ContainersContext, record: ContainerRecord, mapping: Mapping): void {
  const { PathOnHost, PathInContainer, CgroupPermissions } = mapping;
  if (!/^[rwm]{1,3}$/.test(CgroupPermissions)) throw invalidParameter(`bad mode of device ${PathOnHost}: ${CgroupPermissions}`);
  if (!PathInContainer.startsWith("/")) throw invalidParameter(`${PathInContainer} is not an absolute path`);
  if (RESERVED.test(PathInContainer)) throw conflict(`${PathInContainer} is of the container's own mounts`);
  if (record.mounts.some(({ destination }) => destination === PathInContainer)) throw conflict(`the container has a mount at ${PathInContainer} already`);
  const present = new Set(devicesOf(record, host).devices.map(({ path }) => path));
  const twice = mappedDevices(PathOnHost, PathInContainer, host).find(({ path }) => present.has(path));
  if (twice) throw conflict(`the container has a device at ${twice.path} already`);
}

/** Who made the groups of a container changes their rules. */
function refuseOthersGroups({ settings }: ContainersContext, { hostConfig }: ContainerRecord): void {
  if (runtimeNamed(settings.runtimes, hostConfig.Runtime) !== undefined) throw notImplemented(`devices of a running container of the runtime ${hostConfig.Runtime} cannot be changed: stop it first`);
  if (settings.cgroupDriver === "systemd") throw notImplemented("devices of a running container cannot be changed where systemd makes its groups: stop it first");
}

const processOf = ({ id, state }: ContainerRecord): { id: string; pid: number } | undefined => (state.status === "running" || state.status === "paused" ? { id, pid: state.pid } : undefined);

/** It is written down first: what may be used is always known. */
async function addOne(context: ContainersContext, record: ContainerRecord, mapping: Mapping): Promise<void> {
  const before = record.hostConfig;
  write(context, record, { ...before, Devices: [...(before.Devices ?? []), mapping] });
  const container = processOf(record);
  if (!container) return;
  const shown: string[] = [];
  try {
    await applyRules(context, record);
    // Read-only: a device is written all the same, but the host's owner and mode of it are not.
    for (const { path } of nodesOf(context, mapping)) {
      const source = mapping.PathOnHost + path.slice(mapping.PathInContainer.length);
      await explained(path, () => context.liveMounts.add(container, { source, destination: path, recursive: false, readOnly: true }));
      shown.push(path);
    }
  } catch (error) {
    write(context, record, before);
    for (const path of shown) await hide(context, container, path).catch((failure: unknown) => context.warn(messageOf(failure)));
    await applyRules(context, record).catch((failure: unknown) => context.warn(messageOf(failure)));
    throw error;
  }
}

async function removeOne(context: ContainersContext, record: ContainerRecord, mapping: Mapping): Promise<void> {
  const container = processOf(record);
  if (container) for (const { path } of nodesOf(context, mapping)) await explained(path, () => hide(context, container, path));
  const { hostConfig } = record;
  write(context, record, { ...hostConfig, Devices: (hostConfig.Devices ?? []).filter((other) => cleanPath(other.PathInContainer) !== cleanPath(mapping.PathInContainer)) });
  if (container) await applyRules(context, record);
}

/** What the host has not any more had one node, as far as anybody knows. */
function nodesOf({ host }: ContainersContext, { PathOnHost, PathInContainer }: Mapping): { path: string }[] {
  try {
    return mappedDevices(PathOnHost, PathInContainer, host);
  } catch {
    return [{ path: PathInContainer }];
  }
}

async function hide({ liveMounts }: ContainersContext, container: { id: string; pid: number }, path: string): Promise<void> {
  await liveMounts.remove(container, path);
  await liveMounts.removeDevice(container, path);
}

/** A privileged container may use every device. */
async function applyRules(context: ContainersContext, record: ContainerRecord): Promise<void> {
  if (!record.hostConfig.Privileged) await context.tasks.update(record, { devices: devicesOf(record, context.host).rules });
}

function write(context: ContainersContext, record: ContainerRecord, hostConfig: HostConfig): void {
  record.hostConfig = hostConfig;
  context.store.save(record);
}

async function explained<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (hasEnded(error)) throw conflict("the container ended just now");
    throw error instanceof GantryError ? error : systemError(`the device ${path}: ${messageOf(error)}`, error);
  }
}
