/** Changing limits, the restart policy, the published ports, labels and variables of a container. */
import { emptyHostConfig, updateRequestSchema } from "../../core/container-config.ts";
import type { HostConfig, Resources, UpdateRequest } from "../../core/container-config.ts";
import type { ContainerRecord } from "../../core/container.ts";
import { codeOf, conflict, GantryError, invalidParameter, messageOf } from "../../lib/errors.ts";
import { portRequests } from "../networks/port-requests.ts";
import type { LivePorts } from "../networks/publishing.ts";
import type { ContainersContext } from "./context.ts";
import { emit } from "./lifecycle/state.ts";
import { containerOf } from "./modes.ts";
import { addedBindings, changeBindings } from "./port-bindings.ts";
import type { Bindings, BindingsChange } from "./port-bindings.ts";
import { zero } from "../../lib/schema.ts";
import { changeDevices, changesDevices } from "./update-devices.ts";
import { changeMounts, changesMounts } from "./update-mounts.ts";
import { changedLogConfig, changesLog } from "./update-log.ts";
import { changedConfig, changesConfig, validateConfigChange } from "./update-config.ts";
import { defaultPids, updateResources } from "./spec/resources.ts";
import { validateHostConfig } from "./validate/host-config.ts";
import { verifyResources } from "./validate/resources.ts";

/** Returns warnings. Throws Docker's refusals; then nothing has changed. */
export async function updateContainer(context: ContainersContext, ref: string, request: UpdateRequest): Promise<string[]> {
  const { RestartPolicy, PublishAdd, PublishRemove, LabelAdd, LabelRemove, EnvAdd, EnvRemove, LogOptAdd, LogOptRemove, MountAdd, MountRemove, DeviceAdd, DeviceRemove, ...resources } = request;
  const config = { LabelAdd, LabelRemove, EnvAdd, EnvRemove };
  validateConfigChange(config);
  if (changesMounts({ MountAdd, MountRemove })) return await updateAlone(context, ref, request, { what: "mounts", fields: { MountAdd, MountRemove }, change: (record) => changeMounts(context, record, { MountAdd, MountRemove }) });
  if (changesDevices({ DeviceAdd, DeviceRemove })) return await updateAlone(context, ref, request, { what: "devices", fields: { DeviceAdd, DeviceRemove }, change: (record) => changeDevices(context, record, { DeviceAdd, DeviceRemove }) });
  for (const PortBindings of [PublishAdd, PublishRemove]) validateHostConfig({ ...emptyHostConfig(), RestartPolicy, PortBindings });
  refuseUnchangeable(request);
  const warnings = verifyResources(resources, context.kernel, true);
  const { id } = context.store.find(ref);
  await context.store.withContainer(id, async () => {
    const record = context.store.find(id);
    const before = record.hostConfig;
    try {
      const after = changed(record, resources, RestartPolicy);
      const ports = await preparePorts(context, record, { add: PublishAdd ?? {}, remove: PublishRemove ?? {} });
      const log = { LogOptAdd, LogOptRemove };
      const LogConfig = changesLog(log) ? changedLogConfig(after.LogConfig, log) : after.LogConfig;
      try {
        // Chosen labels and variables are in the log, too.
        const next = { ...record, config: changedConfig(record.config, config), hostConfig: { ...after, LogConfig } };
        if (hasTask(record) && (changesLog(log) || changesConfig(config))) await context.tasks.changeLog(record, next);
      } catch (error) {
        ports?.live?.cancel();
        throw error;
      }
      record.hostConfig = { ...after, LogConfig, ...(ports && { PortBindings: ports.bindings }) };
      try {
        if (hasTask(record)) await context.tasks.update(record, updateResources(resources, context.host, defaultPids(record.hostConfig, context.settings)));
      } catch (error) {
        ports?.live?.cancel();
        throw error;
      }
      await ports?.live?.apply((network) => (record.network = network));
    } catch (error) {
      record.hostConfig = before;
      context.store.save(record);
      throw new GantryError(codeOf(error), `Cannot update container ${id}: ${messageOf(error)}`, { cause: error });
    }
    record.config = changedConfig(record.config, config);
    context.store.save(record);
    emit(context, record, "update");
  });
  return warnings;
}

interface ChangeAlone {
  what: string;
  /** Of the request, that belong to it. */
  fields: Partial<UpdateRequest>;
  change: (record: ContainerRecord) => Promise<void>;
}

/** Alone, so that all of a request is done or nothing. */
async function updateAlone(context: ContainersContext, ref: string, request: UpdateRequest, { what, fields, change }: ChangeAlone): Promise<string[]> {
  const none = zero(updateRequestSchema);
  const other = (Object.keys(request) as (keyof UpdateRequest)[]).find((key) => !Object.hasOwn(fields, key) && JSON.stringify(request[key]) !== JSON.stringify(none[key]));
  if (other !== undefined) throw invalidParameter(`${what} change in a request of their own: it also has ${other}`);
  const { id } = context.store.find(ref);
  await context.store.withContainer(id, async () => {
    const record = context.store.find(id);
    if (record.state.status === "removing" || record.state.status === "dead") throw conflict('container is marked for removal and cannot be "update"');
    try {
      await change(record);
    } catch (error) {
      throw new GantryError(codeOf(error), `Cannot update container ${id}: ${messageOf(error)}`, { cause: error });
    }
    emit(context, record, "update");
  });
  return [];
}

interface ChangedPorts {
  bindings: Bindings;
  /** Of a container that runs. */
  live?: LivePorts;
}

/** Finds everything that is in the way, before anything is changed. undefined: nothing is asked for. */
async function preparePorts(context: ContainersContext, record: ContainerRecord, change: BindingsChange): Promise<ChangedPorts | undefined> {
  if (Object.keys(change.add).length === 0 && Object.keys(change.remove).length === 0) return undefined;
  refuseUnpublishable(record);
  const { bindings, gone } = changeBindings(record.hostConfig.PortBindings ?? {}, change, record.network?.ports ?? []);
  const back = record.hostConfig.PublishAllPorts ? Object.keys(change.remove).find((port) => !bindings[port] && record.config.ExposedPorts?.[port]) : undefined;
  if (back !== undefined) throw conflict(`port ${back} is published because all exposed ports of the container are`);
  const add = portRequests({ config: { ExposedPorts: null }, hostConfig: { PortBindings: addedBindings(change.add), PublishAllPorts: false } });
  return hasTask(record) ? { bindings, live: await context.changePorts(record, { remove: gone, add }) } : { bindings };
}

function refuseUnpublishable({ config, hostConfig: { NetworkMode: mode } }: ContainerRecord): void {
  const reason = config.NetworkDisabled || mode === "none" ? "it has no network" : mode === "host" ? "it has the host's network" : containerOf(mode) === undefined ? undefined : "it has another container's network";
  if (reason !== undefined) throw conflict(`ports of this container cannot be published: ${reason}`);
}

const hasTask = ({ state }: ContainerRecord): boolean => state.status === "running" || state.status === "paused";

/** Docker ignores these in an update; ignoring them in silence would mislead. */
function refuseUnchangeable(request: UpdateRequest): void {
  for (const key of ["Devices", "DeviceCgroupRules", "DeviceRequests", "Ulimits"] as const) {
    if ((request[key]?.length ?? 0) > 0) throw invalidParameter(`${key} of a container cannot be changed by an update`);
  }
  for (const key of ["CgroupParent"] as const) if (request[key] !== "") throw invalidParameter(`${key} of a container cannot be changed by an update`);
}

function changed(record: ContainerRecord, update: Resources, policy: HostConfig["RestartPolicy"]): HostConfig {
  if (record.state.status === "removing" || record.state.status === "dead") throw conflict('container is marked for removal and cannot be "update"');
  const current = record.hostConfig;
  refuseConflicts(current, update);
  const result = { ...current };
  for (const key of NUMBERS) if (update[key] !== 0) result[key] = update[key];
  for (const key of TEXTS) if (update[key] !== "") result[key] = update[key];
  for (const key of THROTTLES) if (update[key] !== null) result[key] = update[key];
  if (update.BlkioWeightDevice !== null) result.BlkioWeightDevice = update.BlkioWeightDevice;
  if (update.PidsLimit !== null) result.PidsLimit = update.PidsLimit;
  if (policy.Name !== "") {
    if (current.AutoRemove && policy.Name !== "no") throw conflict("Restart policy cannot be updated because AutoRemove is enabled for the container");
    result.RestartPolicy = policy;
  }
  return result;
}

const NUMBERS = ["BlkioWeight", "CpuShares", "NanoCpus", "CpuPeriod", "CpuQuota", "Memory", "MemorySwap", "MemoryReservation", "CpuRealtimePeriod", "CpuRealtimeRuntime"] as const;
const TEXTS = ["CpusetCpus", "CpusetMems"] as const;
const THROTTLES = ["BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteIOps"] as const;

function refuseConflicts(current: Resources, update: Resources): void {
  if (update.NanoCpus > 0 && current.CpuPeriod > 0) throw conflict("Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set");
  if (update.NanoCpus > 0 && current.CpuQuota > 0) throw conflict("Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set");
  if (update.CpuPeriod > 0 && current.NanoCpus > 0) throw conflict("Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set");
  if (update.CpuQuota > 0 && current.NanoCpus > 0) throw conflict("Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set");
  if (update.Memory !== 0 && update.Memory > current.MemorySwap && update.MemorySwap === 0) {
    throw conflict("Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time");
  }
}
