/** daemon.json: reading it, and its values in the form that the flags have. */
import { readFileSync } from "node:fs";
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import type { FlagValues } from "../../lib/flags.ts";
import { withoutCredentials } from "../../lib/proxy.ts";
import { checkedPool, parseUlimit } from "./option-values.ts";
import { DAEMON_OPTIONS, type DaemonOption } from "./options.ts";
import { fileRuntime } from "./runtimes.ts";

export type FileValues = Map<string, unknown>;

/** Objects that are values; any other object is a group of options. */
const DEEP = new Set(["default-network-opts", "log-opts", "runtimes", "default-ulimits", "features", "builder", "nri-opts"]);

/** The options that a file sets; undefined when there is no file. */
export function readConfigFile(path: string): FileValues | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw invalidParameter(`open ${path}: ${messageOf(cause)}`, cause);
  }
  return parseConfig(decoded(bytes));
}

/** UTF-8, or what a byte order mark says. */
function decoded(bytes: Buffer): string {
  const encoding = bytes[0] === 0xff && bytes[1] === 0xfe ? "utf-16le" : bytes[0] === 0xfe && bytes[1] === 0xff ? "utf-16be" : "utf-8";
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch (cause) {
    throw invalidParameter(`failed to decode configuration JSON: ${messageOf(cause)}`, cause);
  }
}

function parseConfig(text: string): FileValues {
  if (text.trim() === "") return new Map();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw invalidParameter(`invalid JSON: ${messageOf(cause)}`, cause);
  }
  if (!isObject(json)) throw invalidParameter("invalid JSON: the configuration must be one object");
  const values: FileValues = new Map();
  for (const [key, value] of Object.entries(json)) {
    if (isObject(value) && !DEEP.has(key)) for (const [inner, item] of Object.entries(value)) values.set(inner, item);
    else values.set(key, value);
  }
  return withNewNames(values);
}

/** Keys of old versions, which had one address. */
function withNewNames(values: FileValues): FileValues {
  const address = values.get("host-gateway-ip");
  if (address === undefined) return values;
  if (values.has("host-gateway-ips")) throw invalidParameter("the following directives are specified both as an old and as a new key: host-gateway-ip, host-gateway-ips");
  values.delete("host-gateway-ip");
  return values.set("host-gateway-ips", [address]);
}

/** Refuses keys that no option has, and options that the command line sets as well, with dockerd's messages. */
export function checkConflicts(file: FileValues, flags: FlagValues): void {
  const byKey = new Map(DAEMON_OPTIONS.filter(({ key }) => key !== "").map((option) => [option.key, option]));
  const unknown = [...file.keys()].filter((key) => !byKey.has(key));
  if (unknown.length > 0) throw invalidParameter(`the following directives don't match any configuration option: ${unknown.join(", ")}`);
  const conflicts = [];
  for (const [key, value] of file) {
    const option = byKey.get(key) as DaemonOption;
    if (option.flag === "" || !flags.changed(option.flag)) continue;
    const flag = option.type.repeated === true ? `[${flags.list(option.flag).join(" ")}]` : flags.string(option.flag);
    const [fromFlag, fromFile] = [flag, printed(value)].map(withoutCredentials);
    conflicts.push(`${key}: (from flag: ${fromFlag}, from file: ${fromFile})`);
  }
  if (conflicts.length > 0) throw invalidParameter(`the following directives are specified both as a flag and in the configuration file: ${conflicts.join(", ")}`);
}

/** As Go's %v. */
function printed(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(printed).join(" ")}]`;
  if (value === null) return "<nil>";
  if (!isObject(value)) return typeof value === "string" ? value : JSON.stringify(value);
  return `map[${Object.keys(value).sort().map((key) => `${key}:${printed(value[key])}`).join(" ")}]`;
}

/** The texts that flags would have: several for a repeated one. */
export function flagTexts(option: DaemonOption, value: unknown): string[] {
  if (value === null) return [];
  if (option.key === "builder") return [JSON.stringify(Object.fromEntries(objectOf(option, value)))];
  if (option.key === "default-ulimits") return objectOf(option, value).map(([name, limit]) => ulimitText(name, limit));
  if (option.key === "runtimes") return objectOf(option, value).map(([name, entry]) => fileRuntime(name, entry));
  if (option.key === "default-address-pools") return listOf(option, value).map(poolText);
  if (option.key === "default-network-opts") return objectOf(option, value).flatMap(([driver, options]) => objectOf(option, options).map(([key, item]) => `${driver}=${key}=${scalar(option, item, ["string"])}`));
  if (option.type.word === "map") return objectOf(option, value).map(([key, item]) => `${key}=${scalar(option, item, ["string", "boolean"])}`);
  if (option.type.repeated === true) return listOf(option, value).map((item) => scalar(option, item, ["string"]));
  return [scalar(option, value, kindsOf(option))];
}

function kindsOf({ type }: DaemonOption): string[] {
  if (type.bare === "true") return ["boolean"];
  if (type.word === "int" || type.word === "uint") return ["number"];
  return type.word === "bytes" ? ["string", "number"] : ["string"];
}

function scalar({ key }: DaemonOption, value: unknown, kinds: string[]): string {
  if (kinds.includes(typeof value)) return String(value);
  throw invalidParameter(`invalid JSON: json: cannot unmarshal ${kindOf(value)} into Go struct field Config.${key} of type ${{ boolean: "bool", number: "int" }[kinds[0] as string] ?? "string"}`);
}

function listOf({ key }: DaemonOption, value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  throw invalidParameter(`invalid JSON: json: cannot unmarshal ${kindOf(value)} into Go struct field Config.${key} of type []string`);
}

function objectOf({ key }: DaemonOption, value: unknown): [string, unknown][] {
  if (isObject(value)) return Object.entries(value);
  throw invalidParameter(`invalid JSON: json: cannot unmarshal ${kindOf(value)} into Go struct field Config.${key} of type map[string]string`);
}

function ulimitText(name: string, limit: unknown): string {
  const { Soft: soft, Hard: hard } = isObject(limit) ? limit : {};
  const text = `${name}=${String(soft)}:${String(hard)}`;
  parseUlimit(text);
  return text;
}

function poolText(pool: unknown): string {
  const { base, size } = isObject(pool) ? pool : {};
  if (typeof base !== "string" || typeof size !== "number") throw invalidParameter(`invalid address pool ${JSON.stringify(pool)}: it needs base and size`);
  checkedPool({ base, size });
  return `base=${base},size=${size}`;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const kindOf = (value: unknown): string => (Array.isArray(value) ? "array" : value === null ? "null" : typeof value === "boolean" ? "bool" : typeof value);
