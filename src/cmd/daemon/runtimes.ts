/** `runtimes` of daemon.json and --add-runtime: other OCI runtimes, by their command lines. */
import type { RuntimeProgram } from "../../core/runtime.ts";
import type { Runtimes } from "../../engine/containers/runtimes.ts";
import { invalidParameter } from "../../lib/errors.ts";

/** Our own. */
export const DEFAULT_RUNTIME = "gantry-runtime";
/** Docker's names of its built-in runtime: who asks for it gets ours. */
const ALIASES = ["runc", "io.containerd.runc.v2"];
/** containerd's name of the shim that calls runc and programs like it; no other shim can be used. */
const RUNC_SHIM = "io.containerd.runc.v2";

/** As `info` shows it. */
export interface RuntimeEntry {
  path?: string;
  runtimeArgs?: string[];
  runtimeType?: string;
  options?: Record<string, unknown>;
}

export interface ConfiguredRuntime {
  program: RuntimeProgram;
  shown: RuntimeEntry;
}

/** Entries of a file travel as texts beside those of flags, which have no NUL. */
const IN_FILE = "\0";
export const fileRuntime = (name: string, entry: unknown): string => `${name}=${IN_FILE}${JSON.stringify(entry)}`;

/** Throws dockerd's words. */
export function checkRuntime(text: string): void {
  parseRuntime(text);
}

function parseRuntime(text: string): [name: string, runtime: ConfiguredRuntime] {
  const equals = text.indexOf("=");
  const name = text.slice(0, equals).trim();
  const value = text.slice(equals + 1).trim();
  if (equals < 0 || name === "" || value === "") throw invalidParameter(`invalid runtime argument: ${text}`);
  if (value.startsWith(IN_FILE)) return [name, entryOf(name, JSON.parse(value.slice(1)))];
  const lower = name.toLowerCase();
  checkName(lower);
  return [lower, { program: { path: value, args: [] }, shown: { path: value } }];
}

function checkName(name: string): void {
  if (name === DEFAULT_RUNTIME || ALIASES.includes(name)) throw invalidParameter(`runtime name '${name}' is reserved`);
}

function entryOf(name: string, entry: unknown): ConfiguredRuntime {
  checkName(name);
  if (typeof entry !== "object" || entry === null || Array.isArray(entry)) throw invalidParameter(`runtime ${name}: an object with path or runtimeType is needed`);
  const { path = "", runtimeArgs = [], runtimeType = "", options = {}, ...unknown } = entry as Record<string, unknown>;
  for (const key of Object.keys(unknown)) throw invalidParameter(`runtime ${name}: unknown field ${JSON.stringify(key)}`);
  const given = { path: stringOf(name, "path", path), args: argsOf(name, runtimeArgs), type: stringOf(name, "runtimeType", runtimeType), options: optionsOf(name, options) };
  if (given.path === "" && given.type === "") throw invalidParameter(`runtime ${name}: either a runtimeType or a path must be configured`);
  return given.type === "" ? byPath(name, given) : byShim(name, given);
}

type Given = { path: string; args: string[]; type: string; options: Record<string, unknown> };

function byPath(name: string, { path, args, options }: Given): ConfiguredRuntime {
  if (Object.keys(options).length > 0) throw invalidParameter(`runtime ${name}: options cannot be used with a path runtime`);
  const flag = args.find((arg) => /^--?systemd-cgroup/.test(arg));
  if (flag !== undefined) throw invalidParameter(`runtime ${name}: ${flag} is said by --exec-opt native.cgroupdriver=systemd, for all runtimes`);
  return { program: { path, args }, shown: { path, ...(args.length > 0 && { runtimeArgs: args }) } };
}

function byShim(name: string, { path, args, type, options }: Given): ConfiguredRuntime {
  if (path !== "") throw invalidParameter(`runtime ${name}: cannot configure both path and runtimeType for the same runtime`);
  if (args.length > 0) throw invalidParameter(`runtime ${name}: args cannot be used with a runtimeType runtime`);
  if (type !== RUNC_SHIM) throw invalidParameter(`runtime ${name}: runtimeType ${type} is not supported: there is no containerd, only ${RUNC_SHIM} can be had, or a path`);
  const { BinaryName = "runc", Root = "", SystemdCgroup = false, ...unknown } = options;
  for (const key of Object.keys(unknown)) throw invalidParameter(`runtime ${name}: option ${key} is not supported, only BinaryName and Root`);
  if (SystemdCgroup !== false) throw invalidParameter(`runtime ${name}: option SystemdCgroup is said by --exec-opt native.cgroupdriver=systemd, for all runtimes`);
  const root = stringOf(name, "Root", Root);
  return { program: { path: stringOf(name, "BinaryName", BinaryName) || "runc", args: [], ...(root !== "" && { root }) }, shown: { runtimeType: type, ...(Object.keys(options).length > 0 && { options }) } };
}

function stringOf(name: string, field: string, value: unknown): string {
  if (typeof value !== "string") throw invalidParameter(`runtime ${name}: ${field} must be a string`);
  return value;
}

function argsOf(name: string, value: unknown): string[] {
  if (value === null) return [];
  if (!Array.isArray(value)) throw invalidParameter(`runtime ${name}: runtimeArgs must be a list of strings`);
  return value.map((one) => stringOf(name, "runtimeArgs", one));
}

function optionsOf(name: string, value: unknown): Record<string, unknown> {
  if (value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) throw invalidParameter(`runtime ${name}: options must be an object`);
  return value as Record<string, unknown>;
}

/** All that were configured. Throws for a name that comes twice. */
export function configuredRuntimes(texts: readonly string[]): Map<string, ConfiguredRuntime> {
  const runtimes = new Map<string, ConfiguredRuntime>();
  for (const text of texts) {
    const [name, runtime] = parseRuntime(text);
    if (runtimes.has(name)) throw invalidParameter(`runtime '${name}' was already defined`);
    runtimes.set(name, runtime);
  }
  return runtimes;
}

export function checkDefaultRuntime(name: string, runtimes: ReadonlyMap<string, ConfiguredRuntime>): string {
  if (name !== DEFAULT_RUNTIME && !ALIASES.includes(name) && !runtimes.has(name)) throw invalidParameter(`specified default runtime '${name}' does not exist`);
  return name;
}

interface Configuration {
  runtime: string;
  runtimes: ReadonlyMap<string, ConfiguredRuntime>;
}

export function runtimesFor({ runtime, runtimes }: Configuration): Runtimes {
  const own = [DEFAULT_RUNTIME, ...ALIASES].map((name) => [name, undefined] as const);
  return { defaultName: runtime, programs: new Map([...own, ...[...runtimes].map(([name, { program }]) => [name, program] as const)]) };
}

/** For `info`. */
export function shownRuntimes({ runtimes }: Configuration): Record<string, RuntimeEntry> {
  return { [DEFAULT_RUNTIME]: { path: DEFAULT_RUNTIME }, ...Object.fromEntries([...runtimes].map(([name, { shown }]) => [name, shown])) };
}
