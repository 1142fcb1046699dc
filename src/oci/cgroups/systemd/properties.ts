/**
 * Linux.resources as properties of a unit (systemd.resource-control(5)), so that systemd keeps what it knows when it writes a
 * unit's files again, as after daemon-reload. What it has no property for is in the group's files alone.
 */
import { invalidParameter } from "../../../lib/errors.ts";
import type { OciResources } from "../../../lib/oci-spec.ts";
import type { DbusValue } from "../../../sys/dbus/message.ts";
import type { DeviceRule } from "../device-rules.ts";
import { deviceRules } from "../device-rules.ts";
import { weightOfShares } from "../v2/cpu.ts";
import { swapMax } from "../v2/memory.ts";

export type Property = [name: string, value: [signature: string, value: DbusValue]];

export interface Target {
  /** Of the hierarchy that systemd keeps its limits in. */
  cgroup: 1 | 2;
  /** systemd's version, as older ones lack some properties. */
  systemd: number;
  /** A user's manager: it has no say in devices. */
  user: boolean;
}

/** "infinity" */
const unlimited = 0xffff_ffff_ffff_ffffn;

const long = (name: string, value: number | bigint): Property => [name, ["t", value === -1 ? unlimited : BigInt(value)]];
const given = (name: string, value: number | undefined): Property[] => (value ? [long(name, value < 0 ? -1 : value)] : []);

export function resourceProperties(resources: OciResources, target: Target): Property[] {
  const { devices } = resources;
  const limits = target.cgroup === 2 ? v2Properties(resources, target) : v1Properties(resources, target);
  return [...limits, ...tasksProperties(resources), ...cpusetProperties(resources, target), ...(devices && !target.user ? deviceProperties(devices) : [])];
}

/** The kernel cannot count from a later moment on. */
export const accountingProperties = ({ cgroup }: Target): Property[] => ["MemoryAccounting", "CPUAccounting", cgroup === 2 ? "IOAccounting" : "BlockIOAccounting", "TasksAccounting"].map((name) => [name, ["b", true]]);

function v2Properties({ memory = {}, cpu = {}, unified = {} }: OciResources, target: Target): Property[] {
  const swap = swapMax(memory);
  const limits = [...given("MemoryMax", memory.limit), ...given("MemoryLow", memory.reservation), ...(swap === undefined ? [] : [limit("MemorySwapMax", swap)])];
  return [...limits, ...weightProperties(cpu, target), ...quotaProperties(cpu, target), ...Object.entries(unified).flatMap(([file, text]) => unifiedProperty(file, text.trim(), target))];
}

const v1Properties = ({ memory = {}, cpu = {}, blockIO = {} }: OciResources, target: Target): Property[] => [
  ...given("MemoryLimit", memory.limit),
  ...given("CPUShares", cpu.shares),
  ...quotaProperties(cpu, target),
  ...given("BlockIOWeight", blockIO.weight),
];

/** A weight of 0 is "idle". */
function weightProperties({ idle, shares }: NonNullable<OciResources["cpu"]>, { systemd }: Target): Property[] {
  if (idle === 1) return systemd >= 252 ? [long("CPUWeight", 0)] : [];
  const weight = weightOfShares(shares);
  return weight === undefined ? [] : [long("CPUWeight", weight)];
}

/** systemd counts whole percents of a processor: rounded up, so that no less is allowed than was asked for. */
function quotaProperties({ quota, period }: { quota?: number; period?: number }, { systemd }: Target): Property[] {
  const perSecond = quota && quota > 0 ? Math.ceil((quota * 1e6) / (period || 100_000) / 10_000) * 10_000 : -1;
  return [...(systemd >= 242 ? given("CPUQuotaPeriodUSec", period) : []), ...(quota || period ? [long("CPUQuotaPerSecUSec", perSecond)] : [])];
}

/** It takes no 0. */
const tasksProperties = ({ pids }: OciResources): Property[] => (pids?.limit === undefined ? [] : [long("TasksMax", pids.limit < 0 ? -1 : pids.limit || 1)]);

const cpusetProperties = ({ cpu = {} }: OciResources, target: Target): Property[] => [...(cpu.cpus ? cpuset("AllowedCPUs", cpu.cpus, target) : []), ...(cpu.mems ? cpuset("AllowedMemoryNodes", cpu.mems, target) : [])];

const unifiedLimits: Record<string, string> = { "memory.high": "MemoryHigh", "memory.low": "MemoryLow", "memory.min": "MemoryMin", "memory.max": "MemoryMax", "memory.swap.max": "MemorySwapMax", "pids.max": "TasksMax", "cpu.weight": "CPUWeight" };
const unifiedSets: Record<string, string> = { "cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes" };

/** What is not in the form that it should have is left to the kernel to refuse. */
function unifiedProperty(file: string, text: string, target: Target): Property[] {
  const name = unifiedLimits[file];
  if (name !== undefined && /^(max|\d+)$/.test(text)) return [limit(name, text)];
  const set = unifiedSets[file];
  if (set !== undefined) return cpuset(set, text, target);
  if (file === "cpu.idle" && text === "1") return weightProperties({ idle: 1 }, target);
  const max = file === "cpu.max" ? /^(max|\d+)(?:\s+(\d+))?$/.exec(text) : null;
  return max ? quotaProperties({ quota: max[1] === "max" ? -1 : Number(max[1]), period: Number(max[2] ?? 100_000) }, target) : [];
}

const limit = (name: string, text: string): Property => long(name, text === "max" ? -1 : BigInt(text));

/** "0-2,5" as a mask of bytes, the lowest first. */
function cpuset(name: string, list: string, { systemd }: Target): Property[] {
  const mask: number[] = [];
  for (const range of list.split(",").map((word) => word.trim()).filter((word) => word !== "")) {
    const [first, last = first] = range.split("-").map(Number);
    if (!/^\d+(-\d+)?$/.test(range) || last! < first! || last! > 8191) throw invalidParameter(`linux.resources.cpu: ${JSON.stringify(list)} is not a list of numbers`);
    for (let bit = first!; bit <= last!; bit++) mask[bit >> 3] = (mask[bit >> 3] ?? 0) | (1 << (bit & 7));
  }
  return systemd >= 244 ? [[name, ["ay", Array.from(mask, (byte) => byte ?? 0)]]] : [];
}

/** Lists of what is allowed alone have a form here. For others systemd decides nothing, and our own program or files do. */
function deviceProperties(asked: NonNullable<OciResources["devices"]>): Property[] {
  const rules = deviceRules(asked);
  const clear: Property = ["DeviceAllow", ["a(ss)", []]];
  const lastWide = rules.findLastIndex(({ type, access }) => type === "a" && access === "rwm");
  const allowed = rules.slice(lastWide + 1);
  const strict = (lastWide < 0 || !rules[lastWide]!.allow) && allowed.every((rule) => rule.allow && rule.type !== "a" && (rule.major !== -1 || rule.minor === -1));
  if (!strict) return [clear, ["DevicePolicy", ["s", "auto"]]];
  return [clear, ["DevicePolicy", ["s", "strict"]], ["DeviceAllow", ["a(ss)", allowed.map((rule) => [deviceName(rule), rule.access])]]];
}

function deviceName({ type, major, minor }: DeviceRule): string {
  const kind = type === "b" ? "block" : "char";
  if (major === -1) return `${kind}-*`;
  return minor === -1 ? `${kind}-${major}` : `/dev/${kind}/${major}:${minor}`;
}
