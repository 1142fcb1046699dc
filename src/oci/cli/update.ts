/** `update`: other limits for a container, from flags or, with --resources, from a file. */
import { readFileSync } from "node:fs";
import { invalidParameter, notImplemented } from "../../lib/errors.ts";
import type { FlagSpec, FlagValues } from "../../lib/flags.ts";
import { int, string } from "../../lib/flags.ts";
import type { OciResources, OciThrottle } from "../../lib/oci-spec.ts";
import { parseRamSize } from "../../lib/units.ts";
import { applyWrite } from "../cgroups/apply.ts";
import { detectLayout } from "../cgroups/layout.ts";
import { updateWrites } from "../cgroups/resources.ts";
import { textOf } from "../host.ts";
import { parseResources } from "../validate/config.ts";
import { groupsOf } from "./cgroups.ts";
import type { Command } from "./command.ts";
import { updateUnit } from "./scope.ts";
import type { ContainerRecord } from "./store.ts";

const textFlags = [
  "cpu-period", "cpu-quota", "cpu-burst", "cpu-share", "cpu-rt-period", "cpu-rt-runtime", "cpu-idle", "cpuset-cpus", "cpuset-mems",
  "memory", "memory-reservation", "memory-swap", "kernel-memory", "kernel-memory-tcp", "l3-cache-schema", "mem-bw-schema",
];

export const update: Command = {
  name: "update",
  usage: "CONTAINER",
  about: "Change a container's limits",
  flags: [
    { name: "resources", shorthand: "r", type: string },
    { name: "blkio-weight", type: int },
    { name: "pids-limit", type: int },
    ...textFlags.map((name): FlagSpec => ({ name, type: string })),
  ],
  arguments: [1, 1],
  async run({ args, flags, store, warn }) {
    const record = store.load(args[0]!);
    refuse(flags);
    const file = flags.string("resources");
    const asked = file === "" ? fromFlags(flags) : parseResources(readFileSync(file === "-" ? 0 : file, "utf8"));
    if (asked.memory?.kernel !== undefined || asked.memory?.kernelTCP !== undefined) warn("Kernel memory settings are ignored: the kernel has no separate limits of them");
    store.save(await applyLimits(record, asked));
    return 0;
  },
};

function refuse(flags: FlagValues): void {
  if (flags.string("l3-cache-schema") !== "") throw notImplemented("--l3-cache-schema: Intel RDT/CAT: l3 cache schema is not enabled, gantry-runtime does not do Intel RDT");
  if (flags.string("mem-bw-schema") !== "") throw notImplemented("--mem-bw-schema: Intel RDT/MBA: memory bandwidth schema is not enabled, gantry-runtime does not do Intel RDT");
}

function fromFlags(flags: FlagValues): OciResources {
  const whole = (name: string, least: number): number | undefined => {
    const text = flags.string(name);
    if (text === "") return undefined;
    const value = Number(text);
    if (!/^[+-]?\d+$/.test(text) || value < least) throw invalidParameter(`invalid value for ${name}: ${JSON.stringify(text)} is not a whole number${least === 0 ? " of 0 or more" : ""}`);
    return value;
  };
  const unsigned = (name: string): number | undefined => whole(name, 0);
  const signed = (name: string): number | undefined => whole(name, -Infinity);
  const bytes = (name: string): number | undefined => {
    const text = flags.string(name);
    return text === "" ? undefined : text === "-1" ? -1 : sizeOf(name, text);
  };
  const cpu = { shares: unsigned("cpu-share"), quota: signed("cpu-quota"), burst: unsigned("cpu-burst"), period: unsigned("cpu-period"), realtimeRuntime: signed("cpu-rt-runtime"), realtimePeriod: unsigned("cpu-rt-period"), cpus: flags.string("cpuset-cpus") || undefined, mems: flags.string("cpuset-mems") || undefined, idle: signed("cpu-idle") };
  const memory = { limit: bytes("memory"), swap: bytes("memory-swap"), reservation: bytes("memory-reservation"), kernel: bytes("kernel-memory"), kernelTCP: bytes("kernel-memory-tcp") };
  return { cpu: given(cpu), memory: given(memory), ...(flags.int("blkio-weight") !== 0 && { blockIO: { weight: flags.int("blkio-weight") } }), ...(flags.changed("pids-limit") && { pids: { limit: flags.int("pids-limit") } }) };
}

type Given<Values> = { [Key in keyof Values]?: NonNullable<Values[Key]> };
const given = <Values extends object>(values: Values): Given<Values> => Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Given<Values>;

function sizeOf(name: string, text: string): number {
  try {
    return parseRamSize(text);
  } catch (error) {
    throw invalidParameter(`invalid value for ${name}: ${(error as Error).message}`, error);
  }
}

/** Carries out what is asked for, and gives the record with the limits that stand now. */
export async function applyLimits(record: ContainerRecord, asked: OciResources): Promise<ContainerRecord> {
  // Device rules cannot be changed, as with runc: what else may have been put into them stays.
  const { devices: _, memory: askedMemory, ...rest } = asked;
  const { kernel: _kernel, kernelTCP: _tcp, ...memory } = askedMemory ?? {};
  const wanted: OciResources = { ...rest, memory, ...(rest.cpu && { cpu: withQuota(rest.cpu, record.spec.linux?.resources?.cpu) }) };
  const layout = detectLayout();
  const read = (path: string): string | undefined => textOf(path) || undefined;
  const standing = record.spec.linux?.resources ?? {};
  const resources = merged(standing, { ...rest, memory });
  const writes = updateWrites(groupsOf(record.cgroups, layout), wanted, { files: layout.files, read });
  if (record.unit) await updateUnit(record.unit, wanted, record.cgroups);
  for (const write of writes) applyWrite(write);
  return { ...record, spec: { ...record.spec, linux: { ...record.spec.linux, resources } } };
}

/** A period alone keeps the quota that stands. */
function withQuota(cpu: NonNullable<OciResources["cpu"]>, standing: OciResources["cpu"]): NonNullable<OciResources["cpu"]> {
  return cpu.period && !cpu.quota && standing?.quota ? { ...cpu, quota: standing.quota } : cpu;
}

function merged(standing: OciResources, asked: OciResources): OciResources {
  const { blockIO, ...limits } = asked;
  const plain = Object.fromEntries(Object.entries(limits).map(([field, value]) => [field, Array.isArray(value) ? value : { ...(standing[field as keyof OciResources] as object), ...(value as object) }]));
  return { ...standing, ...plain, ...(blockIO && { blockIO: mergedBlockIO(standing.blockIO, blockIO) }) };
}

/** Lists are by device: a device's new rate takes the place of its old one. */
function mergedBlockIO(standing: OciResources["blockIO"], asked: NonNullable<OciResources["blockIO"]>): NonNullable<OciResources["blockIO"]> {
  const lists = Object.entries(asked).filter((entry): entry is [string, OciThrottle[]] => Array.isArray(entry[1]));
  const joined = lists.map(([name, rules]) => {
    const old = (standing?.[name as keyof typeof standing] as OciThrottle[] | undefined) ?? [];
    return [name, [...old.filter(({ major, minor }) => !rules.some((rule) => rule.major === major && rule.minor === minor)), ...rules]] as const;
  });
  return { ...standing, ...asked, ...Object.fromEntries(joined) };
}
