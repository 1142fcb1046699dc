/** Reads what a container used from its groups (cgroup-v1/*.rst, cgroup-v2.rst) and its network namespace (/proc/PID/net/dev). */
import { readFile } from "node:fs/promises";
import type { BlkioEntry, BlkioTable, CpuStats, MemoryStats, NetworkStats, TaskStats } from "../../core/stats.ts";
import { groupOf, type CgroupGroup } from "./groups.ts";

/** Nanoseconds in a tick of cpuacct.stat (USER_HZ is 100). */
const TICK = 10_000_000;

/** `pid`: any process in the container's network namespace. Files that the kernel does not have are left out. */
export async function readStats(groups: CgroupGroup[], pid: number): Promise<TaskStats> {
  const [cpu, throttling, memory, pids, blkio, networks] = await Promise.all([readCpu(groups), readThrottling(groups), readMemory(groups), readPids(groups), readBlkio(groups), readNetworks(pid)]);
  return { throttling, blkio, networks, ...(cpu && { cpu }), ...(memory && { memory }), ...(pids && { pids }) };
}

async function text(group: CgroupGroup | undefined, file: string): Promise<string | undefined> {
  if (!group) return undefined;
  try {
    return await readFile(`${group.path}/${file}`, "utf8");
  } catch {
    return undefined;
  }
}

async function number(group: CgroupGroup | undefined, file: string): Promise<number | undefined> {
  const value = (await text(group, file))?.trim();
  return value !== undefined && /^\d+$/.test(value) ? Number(value) : undefined;
}

/** "key value" lines. */
export function parseFlat(content: string): Record<string, number> {
  const values: Record<string, number> = {};
  for (const line of content.split("\n")) {
    const [key, value] = line.split(" ");
    if (key && value !== undefined) values[key] = Number(value);
  }
  return values;
}

async function readCpu(groups: CgroupGroup[]): Promise<CpuStats | undefined> {
  const group = groupOf(groups, "cpuacct");
  if (group?.hierarchy.version === 1) {
    const [total, stat, perCpu] = await Promise.all([number(group, "cpuacct.usage"), text(group, "cpuacct.stat"), text(group, "cpuacct.usage_percpu")]);
    const { user = 0, system = 0 } = parseFlat(stat ?? "");
    return { total: total ?? 0, user: user * TICK, kernel: system * TICK, ...(perCpu !== undefined && { perCpu: perCpu.trim().split(/\s+/).map(Number) }) };
  }
  const content = await text(groups.find(({ hierarchy }) => hierarchy.version === 2), "cpu.stat");
  if (content === undefined) return undefined;
  const { usage_usec = 0, user_usec = 0, system_usec = 0 } = parseFlat(content);
  return { total: usage_usec * 1000, user: user_usec * 1000, kernel: system_usec * 1000 };
}

async function readThrottling(groups: CgroupGroup[]): Promise<TaskStats["throttling"]> {
  const { nr_periods = 0, nr_throttled = 0, throttled_time, throttled_usec = 0 } = parseFlat((await text(groupOf(groups, "cpu"), "cpu.stat")) ?? "");
  return { periods: nr_periods, throttledPeriods: nr_throttled, throttledTime: throttled_time ?? throttled_usec * 1000 };
}

async function readMemory(groups: CgroupGroup[]): Promise<MemoryStats | undefined> {
  const group = groupOf(groups, "memory");
  if (!group) return undefined;
  const names = group.hierarchy.version === 1 ? ["usage_in_bytes", "max_usage_in_bytes", "limit_in_bytes", "failcnt"] : ["current", "peak", "max"];
  const [[usage, maxUsage, limit, failures], details, machine] = await Promise.all([Promise.all(names.map((name) => number(group, `memory.${name}`))), text(group, "memory.stat"), machineMemory()]);
  return {
    usage: usage ?? 0,
    limit: Math.min(limit ?? machine, machine),
    details: parseFlat(details ?? ""),
    ...(maxUsage !== undefined && { maxUsage }),
    ...(failures !== undefined && { failures }),
  };
}

async function machineMemory(): Promise<number> {
  return Number(/^MemTotal:\s+(\d+)/m.exec(await readFile("/proc/meminfo", "latin1"))?.[1] ?? 0) * 1024;
}

async function readPids(groups: CgroupGroup[]): Promise<TaskStats["pids"]> {
  const group = groupOf(groups, "pids");
  const [current, limit] = await Promise.all([number(group, "pids.current"), number(group, "pids.max")]);
  return current === undefined ? undefined : { current, ...(limit !== undefined && { limit }) };
}

const v1Tables: [BlkioTable, string][] = [
  ["ioServiceBytes", "blkio.throttle.io_service_bytes_recursive"],
  ["ioServiced", "blkio.throttle.io_serviced_recursive"],
  ["ioQueued", "blkio.io_queued_recursive"],
  ["ioServiceTime", "blkio.io_service_time_recursive"],
  ["ioWaitTime", "blkio.io_wait_time_recursive"],
  ["ioMerged", "blkio.io_merged_recursive"],
  ["ioTime", "blkio.time_recursive"],
  ["sectors", "blkio.sectors_recursive"],
];

async function readBlkio(groups: CgroupGroup[]): Promise<TaskStats["blkio"]> {
  const v1 = groupOf(groups, "blkio");
  if (v1) {
    const tables: TaskStats["blkio"] = {};
    for (const [table, file] of v1Tables) {
      const content = await text(v1, file);
      if (content !== undefined) tables[table] = parseBlkio(content);
    }
    return tables;
  }
  const content = await text(groupOf(groups, "io"), "io.stat");
  return content === undefined ? {} : parseIoStat(content);
}

/** "8:0 Read 4096" lines and a total that names no device. */
export function parseBlkio(content: string): BlkioEntry[] {
  const entries: BlkioEntry[] = [];
  for (const line of content.split("\n")) {
    const match = /^(\d+):(\d+) (?:(\w+) )?(\d+)$/.exec(line);
    if (match) entries.push({ major: Number(match[1]), minor: Number(match[2]), op: match[3] ?? "", value: Number(match[4]) });
  }
  return entries;
}

/** "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6" lines. */
export function parseIoStat(content: string): TaskStats["blkio"] {
  const bytes: BlkioEntry[] = [];
  const operations: BlkioEntry[] = [];
  for (const line of content.split("\n")) {
    const match = /^(\d+):(\d+) (.*)$/.exec(line);
    if (!match) continue;
    const device = { major: Number(match[1]), minor: Number(match[2]) };
    for (const pair of (match[3] as string).split(" ")) {
      const [key, value] = pair.split("=");
      if (key === "rbytes" || key === "wbytes") bytes.push({ ...device, op: key === "rbytes" ? "read" : "write", value: Number(value) });
      if (key === "rios" || key === "wios") operations.push({ ...device, op: key === "rios" ? "read" : "write", value: Number(value) });
    }
  }
  return { ioServiceBytes: bytes, ioServiced: operations };
}

async function readNetworks(pid: number): Promise<Record<string, NetworkStats>> {
  try {
    return parseNetDev(await readFile(`/proc/${pid}/net/dev`, "latin1"));
  } catch {
    return {};
  }
}

/** proc(5), /proc/net/dev: eight receive columns, then eight transmit columns. */
export function parseNetDev(content: string): Record<string, NetworkStats> {
  const networks: Record<string, NetworkStats> = {};
  for (const line of content.split("\n")) {
    const match = /^\s*([^:\s]+):\s*(.*)$/.exec(line);
    if (!match || match[1] === "lo") continue;
    const [rxBytes = 0, rxPackets = 0, rxErrors = 0, rxDropped = 0, , , , , txBytes = 0, txPackets = 0, txErrors = 0, txDropped = 0] = (match[2] as string).trim().split(/\s+/).map(Number);
    networks[match[1] as string] = { rxBytes, rxPackets, rxErrors, rxDropped, txBytes, txPackets, txErrors, txDropped };
  }
  return networks;
}
