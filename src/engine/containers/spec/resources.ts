/** HostConfig's limits as linux.resources. */
import type { HostConfig, Resources } from "../../../core/container-config.ts";
import { invalidParameter, messageOf, systemError } from "../../../lib/errors.ts";
import type { OciResources, OciThrottle } from "../../../lib/oci-spec.ts";
import type { SpecHost, SpecSettings } from "./host.ts";

/** Microseconds: what NanoCpus are counted against. */
const PERIOD = 100_000;

/** `pidsLimit`: of a container that sets none; 0: any number. */
export function resourcesOf(resources: Resources, host: Pick<SpecHost, "devicesAt">, pidsLimit: number): OciResources {
  const { cpu, memory } = plainLimits(resources);
  const pids = pidsOf(resources.PidsLimit, pidsLimit);
  const blockIO = blockIoOf(resources, host);
  return { ...(cpu && { cpu }), ...(memory && { memory }), ...(pids && { pids }), ...(blockIO && { blockIO }) };
}

function plainLimits(resources: Resources): Pick<OciResources, "cpu" | "memory"> {
  return {
    ...present("cpu", cpuOf(resources)),
    ...present("memory", {
      ...(resources.Memory > 0 && { limit: resources.Memory }),
      ...(resources.MemoryReservation > 0 && { reservation: resources.MemoryReservation }),
      // -1 is what a new cgroup has.
      ...(resources.MemorySwap > 0 && { swap: resources.MemorySwap }),
      ...(resources.MemorySwappiness !== null && { swappiness: resources.MemorySwappiness }),
      ...(resources.OomKillDisable && { disableOOMKiller: true }),
    }),
  };
}

/** What a container gets that sets no limit: a program that forks without end must not take the machine's last process number. */
export const defaultPids = ({ Privileged }: Pick<HostConfig, "Privileged">, { pidsLimit }: Pick<SpecSettings, "pidsLimit">): number => (Privileged ? 0 : pidsLimit);

/** Null: nothing was asked for. */
function pidsOf(asked: number | null, otherwise: number): OciResources["pids"] {
  const limit = asked ?? otherwise;
  if (limit > 0) return { limit };
  return asked === null ? undefined : { limit: -1 };
}

function cpuOf(resources: Resources): OciResources["cpu"] & {} {
  if (resources.CpuShares < 0) throw invalidParameter(`invalid CPU shares (${resources.CpuShares}): value must be a positive integer`);
  return {
    ...(resources.CpuShares > 0 && { shares: resources.CpuShares }),
    ...(resources.CpusetCpus !== "" && { cpus: resources.CpusetCpus }),
    ...(resources.CpusetMems !== "" && { mems: resources.CpusetMems }),
    ...(resources.NanoCpus > 0 && { period: PERIOD, quota: Math.trunc((resources.NanoCpus * PERIOD) / 1e9) }),
    ...(resources.CpuPeriod !== 0 && { period: resources.CpuPeriod }),
    ...(resources.CpuQuota !== 0 && { quota: resources.CpuQuota }),
    ...(resources.CpuRealtimePeriod !== 0 && { realtimePeriod: resources.CpuRealtimePeriod }),
    ...(resources.CpuRealtimeRuntime !== 0 && { realtimeRuntime: resources.CpuRealtimeRuntime }),
  };
}

function present<K extends string, T extends object>(key: K, value: T): { [P in K]?: T } {
  return (Object.keys(value).length === 0 ? {} : { [key]: value }) as { [P in K]?: T };
}

function blockIoOf(resources: Resources, host: Pick<SpecHost, "devicesAt">): OciResources["blockIO"] {
  const numbers = (path: string): { major: number; minor: number } => deviceNumbers(path, host);
  const throttles = (list: Resources["BlkioDeviceReadBps"]): OciThrottle[] => (list ?? []).flatMap((entry) => (entry ? [{ ...numbers(entry.Path), rate: entry.Rate }] : []));
  const lists = {
    weightDevice: (resources.BlkioWeightDevice ?? []).flatMap((entry) => (entry ? [{ ...numbers(entry.Path), weight: entry.Weight }] : [])),
    throttleReadBpsDevice: throttles(resources.BlkioDeviceReadBps),
    throttleWriteBpsDevice: throttles(resources.BlkioDeviceWriteBps),
    throttleReadIOPSDevice: throttles(resources.BlkioDeviceReadIOps),
    throttleWriteIOPSDevice: throttles(resources.BlkioDeviceWriteIOps),
  };
  const filled = Object.fromEntries(Object.entries(lists).filter(([, list]) => list.length > 0));
  const result = { ...(resources.BlkioWeight !== 0 && { weight: resources.BlkioWeight }), ...filled };
  return Object.keys(result).length === 0 ? undefined : result;
}

function deviceNumbers(path: string, host: Pick<SpecHost, "devicesAt">): { major: number; minor: number } {
  try {
    const [device] = host.devicesAt(path);
    if (device) return { major: device.major, minor: device.minor };
  } catch (error) {
    throw systemError(`stat ${path}: ${messageOf(error)}`, error);
  }
  throw systemError(`stat ${path}: not a device`);
}

/** Only what an update asks for. */
export function updateResources(resources: Resources, host: Pick<SpecHost, "devicesAt">, pidsLimit: number): OciResources {
  const memory = {
    ...(resources.Memory !== 0 && { limit: resources.Memory }),
    ...(resources.MemoryReservation !== 0 && { reservation: resources.MemoryReservation }),
    ...(resources.MemorySwap !== 0 && { swap: resources.MemorySwap }),
  };
  const { memory: _, ...others } = resourcesOf(resources, host, resources.PidsLimit === null ? 0 : pidsLimit);
  return { ...others, ...(Object.keys(memory).length > 0 && { memory }) };
}
