/**
 * Reading the files of the Container Device Interface: *.json, *.yaml and *.yml in a list of folders, of which a later one
 * has priority. Checked as far as the edits are used. The format: github.com/cncf-tags/container-device-interface, SPEC.md.
 */
import { readdir, readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { messageOf } from "../../lib/errors.ts";

export interface CdiFile {
  path: string;
  /** "vendor.com/class" */
  kind: string;
  devices: { name: string; containerEdits: ContainerEdits }[];
  containerEdits: ContainerEdits;
}

export interface ContainerEdits {
  env?: string[];
  deviceNodes?: { path: string; hostPath?: string; type?: string; major?: number; minor?: number; fileMode?: number; permissions?: string; uid?: number; gid?: number }[];
  mounts?: { hostPath: string; containerPath: string; type?: string; options?: string[] }[];
  hooks?: { hookName: string; path: string; args?: string[]; env?: string[]; timeout?: number }[];
  additionalGids?: number[];
  intelRdt?: { closID?: string; l3CacheSchema?: string; memBwSchema?: string; schemata?: string[]; enableMonitoring?: boolean };
  netDevices?: { hostInterfaceName: string; name: string }[];
}

const VERSIONS = new Set(["0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0"]);
const KIND = /^[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?\/[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?$/;
const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?$/;

/** The files of one folder, in the order of their names. A folder that is not there has none. */
export async function readFolder(folder: string, warn: (path: string, reason: string) => void): Promise<CdiFile[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") warn(folder, messageOf(error));
    return [];
  });
  const files: CdiFile[] = [];
  for (const name of names.sort()) {
    if (![".json", ".yaml", ".yml"].includes(extname(name))) continue;
    const path = join(folder, name);
    try {
      files.push(checked(path, await parsed(path)));
    } catch (error) {
      warn(path, messageOf(error));
    }
  }
  return files;
}

async function parsed(path: string): Promise<unknown> {
  const text = await readFile(path, "utf8");
  if (extname(path) === ".json") return JSON.parse(text);
  // Rarely wanted, and large.
  const { parse } = await import("yaml");
  return parse(text);
}

function checked(path: string, value: unknown): CdiFile {
  const file = objectOf(value, "the file");
  if (!VERSIONS.has(String(file["cdiVersion"]))) throw new Error(`invalid version ${JSON.stringify(file["cdiVersion"])}: there are ${[...VERSIONS].join(", ")}`);
  const kind = file["kind"];
  if (typeof kind !== "string" || !KIND.test(kind)) throw new Error(`invalid kind ${JSON.stringify(kind)}: it is VENDOR/CLASS`);
  const devices = listOf(file["devices"], "devices").map((item, index) => {
    const device = objectOf(item, `devices[${index}]`);
    const name = device["name"];
    if (typeof name !== "string" || !NAME.test(name)) throw new Error(`invalid name ${JSON.stringify(name)} of devices[${index}]`);
    return { name, containerEdits: checkedEdits(device["containerEdits"], `device ${name}`) };
  });
  if (devices.length === 0) throw new Error("it has no devices");
  const twice = devices.find(({ name }, index) => devices.findIndex((other) => other.name === name) !== index);
  if (twice) throw new Error(`the device ${twice.name} is there twice`);
  return { path, kind, devices, containerEdits: checkedEdits(file["containerEdits"] ?? {}, "containerEdits") };
}

const REQUIRED: Record<string, readonly string[]> = { deviceNodes: ["path"], mounts: ["hostPath", "containerPath"], hooks: ["hookName", "path"], netDevices: ["hostInterfaceName", "name"] };
const TEXT_LISTS: Record<string, readonly string[]> = { mounts: ["options"], hooks: ["args", "env"] };
const HOOKS = new Set(["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]);

function checkedEdits(value: unknown, where: string): ContainerEdits {
  const edits = objectOf(value, `containerEdits of ${where}`);
  for (const [field, keys] of Object.entries(REQUIRED)) {
    for (const item of listOf(edits[field], field)) {
      const entry = objectOf(item, `an entry of ${field}`);
      const missing = keys.find((key) => typeof entry[key] !== "string" || entry[key] === "");
      if (missing !== undefined) throw new Error(`an entry of ${field} in ${where} has no ${missing}`);
      if (field === "hooks" && !HOOKS.has(String(entry["hookName"]))) throw new Error(`unknown hook name ${JSON.stringify(entry["hookName"])} in ${where}`);
      const wrong = (TEXT_LISTS[field] ?? []).find((name) => !listOf(entry[name], name).every((text) => typeof text === "string"));
      if (wrong !== undefined) throw new Error(`${wrong} in ${where} holds something else than texts`);
    }
  }
  if (!listOf(edits["additionalGids"], "additionalGids").every((gid) => Number.isInteger(gid) && (gid as number) >= 0)) throw new Error(`additionalGids in ${where} holds something else than group ids`);
  for (const variable of listOf(edits["env"], "env")) if (typeof variable !== "string" || variable.indexOf("=") < 1) throw new Error(`invalid environment variable ${JSON.stringify(variable)} in ${where}`);
  return edits;
}

function objectOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error(`${what} is no object`);
  return value as Record<string, unknown>;
}

function listOf(value: unknown, what: string): unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new Error(`${what} is no list`);
  return value;
}
