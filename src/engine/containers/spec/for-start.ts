/** The OCI configuration for a start: what this version cannot give is refused first, then missing bind sources are made. */
import type { ContainerRecord } from "../../../core/container.ts";
import { conflict, GantryError, invalidParameter, messageOf, systemError } from "../../../lib/errors.ts";
import type { OciSpec } from "../../../lib/oci-spec.ts";
import { rootOf } from "../../../lib/user-maps.ts";
import type { ContainersContext } from "../context.ts";
import { containerOf } from "../modes.ts";
import { makeBindSources } from "../mounts/sources.ts";
import { mountImages } from "../mounts/images.ts";
import { mountVolumes, plannedVolumes, unmountVolumes } from "../mounts/volumes.ts";
import { refuseAtStart } from "../unsupported.ts";
import { mapsOf } from "../user-namespace.ts";
import { countsAsRunning } from "../view/state.ts";
import { buildSpec } from "./build.ts";
import { injectDevices } from "./device-requests.ts";
import type { SpecInput, SpecSandbox } from "./host.ts";

/** Throws Docker's errors. */
export async function specForStart(context: ContainersContext, record: ContainerRecord, sandbox: SpecSandbox): Promise<OciSpec> {
  refuseAtStart(record, context.kernel);
  const { userMaps } = context.settings;
  makeBindSources(record.mounts, userMaps && rootOf(userMaps));
  const volumes = new Map([...(await mountVolumes(context, record)), ...(await mountImages(context, record))]);
  const sharedMemory = sharedMemoryFor(context, record);
  return specWith(context, { record, sandbox, volumes, sharedMemory });
}

/** The same for a container that is not started: nothing is made. */
export async function specForPlan(context: ContainersContext, record: ContainerRecord, sandbox: SpecSandbox): Promise<OciSpec> {
  refuseAtStart(record, context.kernel);
  const { IpcMode: mode } = record.hostConfig;
  const sharedMemory = mode === "shareable" ? undefined : sharedMemoryFor(context, record);
  const volumes = plannedVolumes(context, record);
  return specWith(context, { record, sandbox, volumes, sharedMemory });
}

async function specWith(context: ContainersContext, { sharedMemory, ...parts }: Pick<SpecInput, "record" | "sandbox" | "volumes"> & { sharedMemory: string | undefined }): Promise<OciSpec> {
  const spec = buildSpec({ ...parts, host: context.host, settings: context.settings, ...(sharedMemory !== undefined && { sharedMemory }), pidOf: (ref, namespace) => pidOf(context, ref, namespace) });
  await injectDevices(spec, parts.record.hostConfig, context.devices);
  return spec;
}

/** Gives back what specForStart took for a run. Idempotent. */
export async function releaseSpec(context: ContainersContext, record: ContainerRecord): Promise<void> {
  if (record.hostConfig.IpcMode === "shareable") context.sharedMemory.release(record.id);
  await unmountVolumes(context, record);
}


/** What to bind over /dev/shm: of the host, of the container whose IPC namespace it joins, or a new one for others to join. That a container to join does not run is told with its namespace. */
function sharedMemoryFor({ store, sharedMemory, settings }: ContainersContext, record: ContainerRecord): string | undefined {
  const { id, hostConfig, mounts } = record;
  const { IpcMode: mode, ShmSize: size } = hostConfig;
  const maps = mapsOf(settings, record);
  if (mode === "host") return "/dev/shm";
  if (mode === "shareable") return mounts.some(({ destination }) => destination === "/dev/shm") ? undefined : sharedMemory.make(id, size, maps && rootOf(maps));
  const ref = containerOf(mode);
  if (!ref) return undefined;
  const donor = findOther(store, ref);
  return countsAsRunning(donor) ? sharedBy(donor, store, sharedMemory) : undefined;
}

function sharedBy(donor: ContainerRecord, store: ContainersContext["store"], sharedMemory: ContainersContext["sharedMemory"]): string {
  const { IpcMode: mode } = donor.hostConfig;
  if (mode === "host") return "/dev/shm";
  if (mode === "shareable") return sharedMemory.pathOf(donor.id);
  const ref = containerOf(mode);
  if (ref) return sharedBy(findOther(store, ref), store, sharedMemory);
  throw invalidParameter(`failed to join IPC namespace: container ${donor.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`);
}

function pidOf({ store }: ContainersContext, ref: string, namespace: "IPC" | "PID"): number {
  const other = findOther(store, ref);
  const { state } = other;
  if (state.status === "restarting") throw conflict(`Container ${ref} is restarting, wait until the container is running`);
  if (state.status === "running" || state.status === "paused") return state.pid;
  const message = `container ${ref} is not running`;
  throw namespace === "PID" ? systemError(message) : conflict(message);
}

function findOther(store: ContainersContext["store"], ref: string): ContainerRecord {
  try {
    return store.find(ref);
  } catch (error) {
    throw error instanceof GantryError && error.code === "not-found" ? invalidParameter(messageOf(error), error) : error;
  }
}
