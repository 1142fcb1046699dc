/** Reads what a container used from its groups (cgroup-v1/*.rst, cgroup-v2.rst) and its network namespace (/proc/PID/net/dev). */
import { totalmem } from "node:os";
import type { BlkioEntry, BlkioTable, CpuStats, MemoryStats, NetworkStats, TaskStats } from "../../core/stats.ts";
import { type Paths, pathsOf, readTexts } from "../../sys/texts.ts";
import { groupOf, type CgroupGroup } from "./groups.ts";

/** Nanoseconds in a tick of cpuacct.stat (USER_HZ is 100). */
const TICK = 10_000_000;

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

const v1Files = {
  cpuacct: ["cpuacct.usage", "cpuacct.stat", "cpuacct.usage_percpu"],
  cpu: ["cpu.stat"],
  memory: ["memory.usage_in_bytes", "memory.max_usage_in_bytes", "memory.limit_in_bytes", "memory.failcnt", "memory.stat"],
  pids: ["pids.current", "pids.max"],
  blkio: v1Tables.map(([, file]) => file),
};
const v2Files = { cpu: ["cpu.stat"], memory: ["memory.current", "memory.peak", "memory.max", "memory.stat"], pids: ["pids.current", "pids.max"], io: ["io.stat"] };
/** Every group of cgroup v2 has that, whatever its controllers. */
const v2Usage = "usage in cpu.stat";

/** `pid`: any process in the container's network namespace. Files that the kernel does not have are left out. */
export async function readStats(groups: CgroupGroup[], pid: number): Promise<TaskStats> {
  const files = filesOf(groups, pid);
  const texts = await readTexts(files.paths);
  const text: Text = (name) => texts[files.places.get(name) ?? -1];
  const [cpu, memory, pids] = [cpuOf(text), memoryOf(text), pidsOf(text)];
  return { throttling: throttlingOf(text), blkio: blkioOf(text), networks: parseNetDev(text("dev") ?? ""), ...(cpu && { cpu }), ...(memory && { memory }), ...(pids && { pids }) };
}

interface Files {
  pid: number;
  paths: Paths;
  /** By their names. */
  places: Map<string, number>;
}

/** What the text of a file is; of one that is not there, nothing. */
type Text = (name: string) => string | undefined;

/** A container's are read again and again. */
const known = new WeakMap<CgroupGroup[], Files>();

function filesOf(groups: CgroupGroup[], pid: number): Files {
  const before = known.get(groups);
  if (before?.pid === pid) return before;
  const listed = [["dev", `/proc/${pid}/net/dev`], ...listFiles(groups)] as const;
  const files = { pid, paths: pathsOf(listed.map(([, path]) => path)), places: new Map(listed.map(([name], place) => [name, place])) };
  known.set(groups, files);
  return files;
}

function listFiles(groups: CgroupGroup[]): [name: string, path: string][] {
  const in1 = Object.entries(v1Files).flatMap(([controller, names]) => inGroup(groupOf(groups, controller), 1, names));
  const in2 = Object.entries(v2Files).flatMap(([controller, names]) => inGroup(groupOf(groups, controller), 2, names));
  const unified = groups.find(({ hierarchy }) => hierarchy.version === 2);
  return [...in1, ...in2, ...(unified && !in1.some(([name]) => name === "cpuacct.usage") ? [[v2Usage, `${unified.path}/cpu.stat`] as [string, string]] : [])];
}

const inGroup = (group: CgroupGroup | undefined, version: 1 | 2, names: string[]): [name: string, path: string][] => (group?.hierarchy.version === version ? names.map((name) => [name, `${group.path}/${name}`]) : []);

function numberIn(text: string | undefined): number | undefined {
  const value = text?.trim();
  return value !== undefined && /^\d+$/.test(value) ? Number(value) : undefined;
}

/** "key value" lines. `keys`: what the lines were called last time, which saves making the names again. */
export function parseFlat(content: string, keys: string[] = []): Record<string, number> {
  const values: Record<string, number> = {};
  let line = 0;
  for (let from = 0, end; from < content.length; from = end + 1) {
    end = content.indexOf("\n", from);
    if (end < 0) end = content.length;
    const expected = keys[line] ?? "";
    const isExpected = expected !== "" && content.startsWith(expected, from) && content[from + expected.length] === " ";
    const space = isExpected ? from + expected.length : content.indexOf(" ", from);
    if (space <= from || space >= end) continue;
    const key = isExpected ? expected : (keys[line] = content.slice(from, space));
    values[key] = Number(content.slice(space + 1, end));
    line++;
  }
  return values;
}

function cpuOf(text: Text): CpuStats | undefined {
  const total = text("cpuacct.usage");
  if (total !== undefined) {
    const perCpu = text("cpuacct.usage_percpu");
    const { user = 0, system = 0 } = parseFlat(text("cpuacct.stat") ?? "");
    return { total: numberIn(total) ?? 0, user: user * TICK, kernel: system * TICK, ...(perCpu !== undefined && { perCpu: perCpu.trim().split(/\s+/).map(Number) }) };
  }
  const content = text(v2Usage);
  if (content === undefined) return undefined;
  const { usage_usec = 0, user_usec = 0, system_usec = 0 } = parseFlat(content);
  return { total: usage_usec * 1000, user: user_usec * 1000, kernel: system_usec * 1000 };
}

function throttlingOf(text: Text): TaskStats["throttling"] {
  const { nr_periods = 0, nr_throttled = 0, throttled_time, throttled_usec = 0 } = parseFlat(text("cpu.stat") ?? "");
  return { periods: nr_periods, throttledPeriods: nr_throttled, throttledTime: throttled_time ?? throttled_usec * 1000 };
}

const detailKeys: string[] = [];

function memoryOf(text: Text): MemoryStats | undefined {
  const details = text("memory.stat");
  if (details === undefined) return undefined;
  const first = (...names: string[]): number | undefined => numberIn(names.map(text).find((found) => found !== undefined));
  const maxUsage = first("memory.max_usage_in_bytes", "memory.peak");
  const failures = first("memory.failcnt");
  return {
    usage: first("memory.usage_in_bytes", "memory.current") ?? 0,
    limit: Math.min(first("memory.limit_in_bytes", "memory.max") ?? machineMemory(), machineMemory()),
    details: parseFlat(details, detailKeys),
    ...(maxUsage !== undefined && { maxUsage }),
    ...(failures !== undefined && { failures }),
  };
}

let machineBytes: number | undefined;
const machineMemory = (): number => (machineBytes ??= totalmem());

function pidsOf(text: Text): TaskStats["pids"] {
  const [current, limit] = [numberIn(text("pids.current")), numberIn(text("pids.max"))];
  return current === undefined ? undefined : { current, ...(limit !== undefined && { limit }) };
}

function blkioOf(text: Text): TaskStats["blkio"] {
  const tables: TaskStats["blkio"] = {};
  for (const [table, file] of v1Tables) {
    const content = text(file);
    if (content !== undefined) tables[table] = parseBlkio(content);
  }
  const unified = text("io.stat");
  return unified === undefined ? tables : parseIoStat(unified);
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
