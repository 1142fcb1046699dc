/**
 * Seccomp profiles in Docker's file format: `linux.seccomp` of the runtime specification, whose rules may depend on the
 * container's capabilities, the architecture and the kernel's version.
 */
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import { parseKeepingBigIntegers } from "../../lib/json-integers.ts";
import type { OciSeccomp } from "../../lib/oci-spec.ts";
import type { Architecture, HostFacts } from "../host.ts";
import { defaultProfile } from "./default-profile.ts";

type OciSyscall = NonNullable<OciSeccomp["syscalls"]>[number];

interface Filter {
  caps?: string[] | null;
  arches?: string[] | null;
  minKernel?: string | null;
}

export interface ProfileRule extends OciSyscall {
  /** The rule counts only where all of this holds. */
  includes?: Filter | null;
  /** The rule does not count where any of this holds. */
  excludes?: Filter | null;
}

export interface SeccompProfile extends Omit<OciSeccomp, "syscalls"> {
  archMap?: { architecture: string; subArchitectures?: string[] | null }[];
  syscalls?: ProfileRule[];
}

export interface ProfileContext {
  /** The container's bounding set. */
  capabilities: readonly string[];
  host: Pick<HostFacts, "architecture" | "kernelRelease">;
}

/** Names of architectures in Docker's filters (Go's), and in archMap. */
const dockerName: Record<Architecture, string> = { x86_64: "amd64", aarch64: "arm64" };
const nativeName: Record<Architecture, string> = { x86_64: "SCMP_ARCH_X86_64", aarch64: "SCMP_ARCH_AARCH64" };

/** One object per set of capabilities, so that its compiled program is found by identity. */
const defaults = new Map<string, OciSeccomp>();

/** Docker's default profile for a container with these capabilities. */
export function defaultSeccomp(context: ProfileContext): OciSeccomp {
  const key = [context.host.architecture, context.host.kernelRelease, ...context.capabilities.toSorted()].join();
  let section = defaults.get(key);
  if (section === undefined) {
    section = resolveProfile(defaultProfile, context)!;
    if (defaults.size < 256) defaults.set(key, section);
  }
  return section;
}

/** A profile file's text for one container; undefined when the profile says nothing, which switches the filter off. */
export function parseSeccomp(text: string, context: ProfileContext): OciSeccomp | undefined {
  return resolveProfile(parseProfile(text), context);
}

export function resolveProfile(profile: SeccompProfile, context: ProfileContext): OciSeccomp | undefined {
  const { archMap, syscalls = [], ...rest } = profile;
  if (!rest.defaultAction && syscalls.length === 0) return undefined;
  const selected = syscalls.filter((rule) => counts(rule, context)).map(({ includes: _, excludes: __, ...rule }) => rule);
  const entry = archMap?.find(({ architecture }) => architecture === nativeName[context.host.architecture]);
  const architectures = entry ? [entry.architecture, ...(entry.subArchitectures ?? [])] : rest.architectures;
  return { ...rest, ...(architectures && { architectures }), syscalls: selected };
}

function counts({ includes, excludes }: ProfileRule, { capabilities, host }: ProfileContext): boolean {
  const architecture = dockerName[host.architecture];
  const out = excludes ?? {};
  if (out.arches?.includes(architecture)) return false;
  if (out.caps?.some((capability) => capabilities.includes(capability))) return false;
  if (out.minKernel && kernelAtLeast(host.kernelRelease, out.minKernel)) return false;
  const only = includes ?? {};
  if (only.arches?.length && !only.arches.includes(architecture)) return false;
  if (only.caps?.some((capability) => !capabilities.includes(capability))) return false;
  return !only.minKernel || kernelAtLeast(host.kernelRelease, only.minKernel);
}

function kernelAtLeast(release: string, minimum: string): boolean {
  const parts = (text: string): number[] => (/^(\d+)\.(\d+)/.exec(text) ?? []).slice(1).map(Number);
  const [major = 0, minor = 0] = parts(release);
  const [wantedMajor = 0, wantedMinor = 0] = parts(minimum);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

const profileKeys = new Set(["defaultAction", "defaultErrnoRet", "architectures", "archMap", "flags", "listenerPath", "listenerMetadata", "syscalls"]);
const maximumProfile = 4 * 1024 * 1024;

/** Docker's file as it came from a user. Names of calls and actions are checked when the filter is compiled. */
export function parseProfile(text: string): SeccompProfile {
  if (text.length > maximumProfile) throw invalidParameter("Decoding seccomp profile failed: it is larger than 4 MiB");
  const root = decode(text);
  for (const key of Object.keys(root)) if (!profileKeys.has(key)) throw invalidParameter(`Decoding seccomp profile failed: unknown field ${JSON.stringify(key)}`);
  const archMap = optionalList(root["archMap"], "archMap")?.map((entry, index) => ({
    architecture: textOf(object(entry, `archMap[${index}]`)["architecture"], `archMap[${index}].architecture`),
    subArchitectures: strings(object(entry, `archMap[${index}]`)["subArchitectures"], `archMap[${index}].subArchitectures`) ?? [],
  }));
  const architectures = strings(root["architectures"], "architectures");
  if (architectures?.length && archMap?.length) throw invalidParameter("both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'");
  const syscalls = optionalList(root["syscalls"], "syscalls")?.map((rule, index) => parseRule(object(rule, `syscalls[${index}]`), `syscalls[${index}]`));
  return {
    defaultAction: root["defaultAction"] === undefined ? "" : textOf(root["defaultAction"], "defaultAction"),
    ...optional("defaultErrnoRet", number(root["defaultErrnoRet"], "defaultErrnoRet")),
    ...optional("architectures", architectures?.length ? architectures : undefined),
    ...optional("archMap", archMap),
    ...optional("flags", strings(root["flags"], "flags")),
    ...optional("listenerPath", root["listenerPath"] === undefined ? undefined : textOf(root["listenerPath"], "listenerPath")),
    ...optional("listenerMetadata", root["listenerMetadata"] === undefined ? undefined : textOf(root["listenerMetadata"], "listenerMetadata")),
    ...optional("syscalls", syscalls),
  };
}

function parseRule(rule: JsonObject, where: string): ProfileRule {
  const name = rule["name"] === undefined || rule["name"] === "" ? undefined : textOf(rule["name"], `${where}.name`);
  const names = strings(rule["names"], `${where}.names`) ?? [];
  if (name !== undefined && names.length > 0) throw invalidParameter("both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'");
  return {
    names: name === undefined ? names : [name],
    action: textOf(rule["action"], `${where}.action`),
    ...optional("errnoRet", number(rule["errnoRet"], `${where}.errnoRet`)),
    ...optional("args", optionalList(rule["args"], `${where}.args`)?.map((argument, index) => parseArgument(object(argument, `${where}.args[${index}]`), `${where}.args[${index}]`))),
    ...optional("includes", filter(rule["includes"], `${where}.includes`)),
    ...optional("excludes", filter(rule["excludes"], `${where}.excludes`)),
  };
}

function parseArgument(argument: JsonObject, where: string): NonNullable<ProfileRule["args"]>[number] {
  const valueTwo = wide(argument["valueTwo"], `${where}.valueTwo`);
  return {
    index: number(argument["index"], `${where}.index`) ?? 0,
    value: wide(argument["value"], `${where}.value`) ?? 0,
    ...optional("valueTwo", valueTwo),
    op: textOf(argument["op"], `${where}.op`),
  };
}

function filter(value: unknown, where: string): Filter | undefined {
  if (value === undefined || value === null) return undefined;
  const fields = object(value, where);
  const minKernel = fields["minKernel"] === undefined || fields["minKernel"] === null ? undefined : textOf(fields["minKernel"], `${where}.minKernel`);
  if (minKernel && !/^\d+\.\d+$/.test(minKernel)) throw invalidParameter(`Decoding seccomp profile failed: ${where}.minKernel ${JSON.stringify(minKernel)} is not MAJOR.MINOR`);
  return { ...optional("caps", strings(fields["caps"], `${where}.caps`)), ...optional("arches", strings(fields["arches"], `${where}.arches`)), ...optional("minKernel", minKernel) };
}

type JsonObject = Record<string, unknown>;

function decode(text: string): JsonObject {
  try {
    return object(parseKeepingBigIntegers(text), "the profile");
  } catch (error) {
    throw invalidParameter(`Decoding seccomp profile failed: ${messageOf(error).replace("Decoding seccomp profile failed: ", "")}`, error);
  }
}

function wrong(where: string, wanted: string): never {
  throw invalidParameter(`Decoding seccomp profile failed: ${where} is not ${wanted}`);
}

function object(value: unknown, where: string): JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : wrong(where, "an object");
}

function optionalList(value: unknown, where: string): unknown[] | undefined {
  if (value === undefined || value === null) return undefined;
  return Array.isArray(value) ? value : wrong(where, "a list");
}

const strings = (value: unknown, where: string): string[] | undefined => optionalList(value, where)?.map((item, index) => textOf(item, `${where}[${index}]`));
const textOf = (value: unknown, where: string): string => (typeof value === "string" ? value : wrong(where, "a text"));

function number(value: unknown, where: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  return typeof value === "number" && Number.isInteger(value) && value >= 0 ? value : wrong(where, "a whole number");
}

function wide(value: unknown, where: string): number | bigint | undefined {
  return typeof value === "bigint" ? value : number(value, where);
}

function optional<Key extends string, Value>(key: Key, value: Value | undefined): { [key in Key]?: Value } {
  return (value === undefined ? {} : { [key]: value }) as { [key in Key]?: Value };
}
