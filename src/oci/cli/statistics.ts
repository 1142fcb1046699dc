/** What a container uses, in the JSON of `runc events`: zero values are left out where runc leaves them out. */
import { readdirSync } from "node:fs";
import type { BlkioEntry } from "../../core/stats.ts";
import type { CgroupGroup } from "../cgroups/groups.ts";
import { groupOf } from "../cgroups/groups.ts";
import { readStats } from "../cgroups/stats.ts";
import { textOf } from "../host.ts";

type Json = Record<string, unknown>;

/** `pid`: the container's init. */
export async function statisticsOf(groups: CgroupGroup[], pid: number): Promise<Json> {
  const { cpu, throttling, pids, blkio } = await readStats(groups, pid);
  const usage = { ...some({ total: cpu?.total, percpu: cpu?.perCpu }), kernel: cpu?.kernel ?? 0, user: cpu?.user ?? 0 };
  const tables: [string, BlkioEntry[] | undefined][] = [
    ["ioServiceBytesRecursive", blkio.ioServiceBytes], ["ioServicedRecursive", blkio.ioServiced], ["ioQueueRecursive", blkio.ioQueued], ["ioServiceTimeRecursive", blkio.ioServiceTime],
    ["ioWaitTimeRecursive", blkio.ioWaitTime], ["ioMergedRecursive", blkio.ioMerged], ["ioTimeRecursive", blkio.ioTime], ["sectorsRecursive", blkio.sectors],
  ];
  return {
    cpu: { usage, throttling: some(throttling), ...pressure(groups, "cpu") },
    cpuset: cpusetOf(groups),
    memory: { ...memoryOf(groups), ...pressure(groups, "memory") },
    pids: some({ current: pids?.current, limit: pids?.limit }),
    blkio: { ...Object.fromEntries(tables.filter(([, entries]) => entries?.length).map(([name, entries]) => [name, entries!.map((entry) => some({ ...entry }))])), ...pressure(groups, "io") },
    hugetlb: hugetlbOf(groups),
    intel_rdt: {},
    network_interfaces: null,
  };
}

/** Without what is absent, zero or empty. */
const some = (values: Json): Json => Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined && value !== 0 && value !== "" && !(Array.isArray(value) && value.length === 0)));

function number(group: CgroupGroup, file: string): number | undefined {
  const text = textOf(`${group.path}/${file}`).trim();
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

/** Values above 2^63 mean no limit; runc shows v2's "max" as the largest number of 64 bits. */
const limitText = (group: CgroupGroup, file: string): number => number(group, file) ?? (textOf(`${group.path}/${file}`).trim() === "max" ? 2 ** 64 - 2048 : 0);

function memoryOf(groups: CgroupGroup[]): Json {
  const group = groupOf(groups, "memory");
  if (group === undefined) return { usage: entry({}), swap: entry({}), kernel: entry({}), kernelTCP: entry({}) };
  const raw = Object.fromEntries([...textOf(`${group.path}/memory.stat`).matchAll(/^(\S+) (\d+)$/gm)].map(([, name, value]) => [name!, Number(value)]));
  if (group.hierarchy.version === 1) {
    const v1 = (name: string): Json => entry({ limit: number(group, `memory.${name}limit_in_bytes`), usage: number(group, `memory.${name}usage_in_bytes`), max: number(group, `memory.${name}max_usage_in_bytes`), failcnt: number(group, `memory.${name}failcnt`) });
    return { ...some({ cache: raw["cache"] }), usage: v1(""), swap: v1("memsw."), kernel: v1("kmem."), kernelTCP: v1("kmem.tcp."), raw };
  }
  const usage = entry({ limit: limitText(group, "memory.max"), usage: number(group, "memory.current"), max: number(group, "memory.peak") });
  const swap = entry({ limit: limitText(group, "memory.swap.max"), usage: number(group, "memory.swap.current"), max: number(group, "memory.swap.peak") });
  return { ...some({ cache: raw["file"] }), usage, swap, kernel: entry({}), kernelTCP: entry({}), raw };
}

const entry = ({ limit = 0, usage, max, failcnt = 0 }: Partial<Record<"limit" | "usage" | "max" | "failcnt", number | undefined>>): Json => ({ limit, ...some({ usage, max }), failcnt });

/** "0-2,5" as numbers. */
const numbersOf = (list: string): number[] =>
  list.trim().split(",").filter((part) => part !== "").flatMap((part) => {
    const [first, last = first] = part.split("-").map(Number);
    return Array.from({ length: last! - first! + 1 }, (_, index) => first! + index);
  });

function cpusetOf(groups: CgroupGroup[]): Json {
  const group = groupOf(groups, "cpuset");
  const flags = ["cpu_exclusive", "mem_hardwall", "mem_exclusive", "memory_migrate", "memory_spread_page", "memory_spread_slab", "memory_pressure", "sched_load_balance", "sched_relax_domain_level"];
  const list = (name: string): number[] => (group === undefined ? [] : numbersOf(textOf(`${group.path}/cpuset.${name}`)));
  const flag = (name: string): number => (group === undefined ? 0 : Number(textOf(`${group.path}/cpuset.${name}`)) || 0);
  return { ...some({ cpus: list("cpus"), mems: list("mems") }), ...Object.fromEntries(flags.map((name) => [name, flag(name)])) };
}

function hugetlbOf(groups: CgroupGroup[]): Json {
  const group = groupOf(groups, "hugetlb");
  if (group === undefined) return {};
  const [usage, max, failures] = group.hierarchy.version === 1 ? (["usage_in_bytes", "max_usage_in_bytes", "failcnt"] as const) : (["current", "max", "events"] as const);
  const sizes = namesIn(group.path).flatMap((name) => (name.startsWith("hugetlb.") && name.endsWith(`.${usage}`) && !name.includes(".rsvd.") ? [name.slice("hugetlb.".length, -usage.length - 1)] : []));
  return Object.fromEntries(sizes.map((size) => [size, { ...some({ usage: number(group, `hugetlb.${size}.${usage}`), max: number(group, `hugetlb.${size}.${max}`) }), failcnt: number(group, `hugetlb.${size}.${failures}`) ?? 0 }]));
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** Documentation/accounting/psi.rst; v2 only. */
function pressure(groups: CgroupGroup[], name: "cpu" | "memory" | "io"): Json {
  const group = groups.find(({ hierarchy }) => hierarchy.version === 2);
  const text = group === undefined ? "" : textOf(`${group.path}/${name}.pressure`);
  if (text === "") return {};
  const line = (kind: string): Json => Object.fromEntries([...(new RegExp(`^${kind} (.*)$`, "m").exec(text)?.[1] ?? "").matchAll(/(\w+)=([\d.]+)/g)].map(([, key, value]) => [key!, Number(value)]));
  return { psi: { some: line("some"), full: line("full") } };
}
