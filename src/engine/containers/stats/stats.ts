/** `docker stats`: samples of a container's use, in Docker's JSON. */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { ContainerRecord } from "../../../core/container.ts";
import type { BlkioEntry, TaskStats } from "../../../core/stats.ts";
import type { LifecycleContext } from "../lifecycle/context.ts";
import { hasTask, taskOf } from "../lifecycle/state.ts";

const NEVER = "0001-01-01T00:00:00Z";
const INTERVAL_MILLISECONDS = 1000;

export interface StatsQuery {
  stream: boolean;
  /** Without a first sample to compare with: at once. */
  oneShot: boolean;
  signal: AbortSignal;
}

/** Yields samples: one, or one a second until the container is gone or the client leaves. A container that does not run has empty ones. */
export async function* stats(context: LifecycleContext, ref: string, query: StatsQuery): AsyncGenerator<Record<string, unknown>> {
  const record = context.store.find(ref);
  let previous: Sample | undefined;
  if (!query.stream && !query.oneShot && hasTask(record)) {
    previous = await sample(context, record);
    await pause(query.signal);
  }
  while (!query.signal.aborted && context.store.get(record.id)) {
    const current = await sample(context, record);
    yield statsJson(record, current, previous);
    if (!query.stream) return;
    previous = current;
    await pause(query.signal);
  }
}

interface Sample {
  read: string;
  stats: TaskStats | undefined;
  /** Nanoseconds of all processors, idle time included. */
  system: number;
  processors: number;
  /** Shown twice: as what is, and a second later as what was. */
  cpuJson?: Record<string, unknown>;
}

async function sample(context: LifecycleContext, record: ContainerRecord): Promise<Sample> {
  if (!hasTask(record)) return { read: NEVER, stats: undefined, system: 0, processors: 0 };
  const stats = await taskOf(context, record).stats();
  const { system, processors } = machineNow();
  return { read: new Date().toISOString(), stats, system, processors };
}

/** Between two ticks of the clock that it counts by, what was read stands for all who ask. */
const TICK_MILLISECONDS = 10;
let lastMachine = { at: -Infinity, system: 0, processors: 0 };

function machineNow(): typeof lastMachine {
  const at = performance.now();
  if (at - lastMachine.at >= TICK_MILLISECONDS) lastMachine = { at, system: systemNanoseconds(), processors: availableParallelism() };
  return lastMachine;
}

/** proc(5), the first line of /proc/stat: user to steal, in hundredths of a second. */
function systemNanoseconds(): number {
  const line = readFileSync("/proc/stat", "latin1").split("\n", 1)[0] ?? "";
  const ticks = line.split(/\s+/).slice(1, 9).map(Number);
  return ticks.reduce((sum, value) => sum + value, 0) * 10_000_000;
}

function statsJson(record: ContainerRecord, current: Sample, previous: Sample | undefined): Record<string, unknown> {
  const { stats } = current;
  return {
    id: record.id,
    name: `/${record.name}`,
    os_type: "linux",
    read: current.read,
    cpu_stats: cpuJson(current),
    memory_stats: memoryJson(stats),
    ...(stats && Object.keys(stats.networks).length > 0 && { networks: Object.fromEntries(Object.entries(stats.networks).map(([name, n]) => [name, { rx_bytes: n.rxBytes, rx_packets: n.rxPackets, rx_errors: n.rxErrors, rx_dropped: n.rxDropped, tx_bytes: n.txBytes, tx_packets: n.txPackets, tx_errors: n.txErrors, tx_dropped: n.txDropped }])) }),
    pids_stats: pidsJson(record, stats),
    blkio_stats: blkioJson(stats),
    num_procs: 0,
    storage_stats: {},
    preread: previous?.read ?? NEVER,
    precpu_stats: cpuJson(previous),
  };
}

/** The daemon's own limit is not the container's: Docker's has none there. */
function pidsJson({ hostConfig }: ContainerRecord, stats: Sample["stats"]): Record<string, unknown> {
  const { current, limit } = stats?.pids ?? {};
  return { ...(current !== undefined && { current }), ...(limit !== undefined && (hostConfig.PidsLimit ?? 0) > 0 && { limit }) };
}

function cpuJson(sample: Sample | undefined): Record<string, unknown> {
  const json = sample?.cpuJson ?? makeCpuJson(sample);
  if (sample) sample.cpuJson = json;
  return json;
}

function makeCpuJson(sample: Sample | undefined): Record<string, unknown> {
  const { cpu, throttling } = sample?.stats ?? {};
  return {
    cpu_usage: { total_usage: cpu?.total ?? 0, ...(cpu?.perCpu && { percpu_usage: cpu.perCpu }), usage_in_kernelmode: cpu?.kernel ?? 0, usage_in_usermode: cpu?.user ?? 0 },
    ...(sample?.stats && { system_cpu_usage: sample.system, online_cpus: sample.processors }),
    throttling_data: { periods: throttling?.periods ?? 0, throttled_periods: throttling?.throttledPeriods ?? 0, throttled_time: throttling?.throttledTime ?? 0 },
  };
}

function memoryJson(stats: TaskStats | undefined): Record<string, unknown> {
  const memory = stats?.memory;
  if (!memory) return {};
  return { usage: memory.usage, ...(memory.maxUsage !== undefined && { max_usage: memory.maxUsage }), stats: memory.details, ...(memory.failures ? { failcnt: memory.failures } : {}), limit: memory.limit };
}

function blkioJson(stats: TaskStats | undefined): Record<string, BlkioEntry[] | null> {
  const tables = stats?.blkio ?? {};
  return {
    io_service_bytes_recursive: tables.ioServiceBytes ?? null,
    io_serviced_recursive: tables.ioServiced ?? null,
    io_queue_recursive: tables.ioQueued ?? null,
    io_service_time_recursive: tables.ioServiceTime ?? null,
    io_wait_time_recursive: tables.ioWaitTime ?? null,
    io_merged_recursive: tables.ioMerged ?? null,
    io_time_recursive: tables.ioTime ?? null,
    sectors_recursive: tables.sectors ?? null,
  };
}

function pause(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, INTERVAL_MILLISECONDS);
    signal.addEventListener("abort", done, { once: true });
  });
}
