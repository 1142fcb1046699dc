/** What `run`, `create` and `exec` check about a flag's value while the command line is read, with Docker's words. */
import { formatEgress, parseEgress } from "../../lib/egress.ts";
import { quote } from "../../lib/strconv.ts";
import { parseIp } from "../../lib/ip.ts";
import { parseRamSize } from "../../lib/units.ts";
import type { FlagCheck } from "../flag-types.ts";
import { parseGpuRequest } from "./gpus.ts";
import { parseMount } from "./mounts.ts";
import { parseNetwork } from "./networks.ts";
import { nanoCpus } from "./numbers.ts";
import { parseUlimit } from "./ulimits.ts";

const attach: FlagCheck = (value) => {
  if (!["stdin", "stdout", "stderr"].includes(value.toLowerCase())) throw new Error("valid streams are STDIN, STDOUT and STDERR");
};

export const checkEnvironment: FlagCheck = (value) => {
  if (value === "" || value.startsWith("=")) throw new Error(`invalid environment variable: ${value}`);
};

export const checkLabel: FlagCheck = (value) => {
  const name = (value.split("=", 1)[0] ?? "").replace(/^[ \t]+/, "");
  if (name === "") throw new Error(`invalid label '${value}': empty name`);
  if (/[ \t]/.test(name)) throw new Error(`label '${name}' contains whitespaces`);
};

const SYSCTLS = new Set(["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"].map((name) => `kernel.${name}`));

const sysctl: FlagCheck = (value) => {
  const equals = value.indexOf("=");
  const name = value.slice(0, Math.max(equals, 0));
  if (equals > 0 && (SYSCTLS.has(name) || name.startsWith("net.") || name.startsWith("fs.mqueue."))) return;
  throw new Error(`sysctl '${value}' is not allowed`);
};

export const checkAddress: FlagCheck = (value) => {
  if (parseIp(value.trim()) === undefined) throw new Error(`IP address is not correctly formatted: ${value}`);
};

const DOMAIN = /^(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*\.?\s*$/;

const dnsSearch: FlagCheck = (value) => {
  const domain = value.replace(/^ +| +$/g, "");
  if (domain === ".") return;
  if (!/[a-zA-Z]/.test(domain) || !DOMAIN.test(domain) || domain.length >= 255) throw new Error(`${domain} is not a valid domain`);
};

/** host:ip or host=ip, as the API takes it: "host:ip" without brackets. */
export function parseExtraHost(value: string): string {
  const separator = value.includes("=") ? value.indexOf("=") : value.indexOf(":");
  const host = value.slice(0, Math.max(separator, 0));
  if (separator < 0 || host === "" || host.includes(":")) throw new Error(`bad format for add-host: ${quote(value)}`);
  const address = value.slice(separator + 1).replace(/^\[(.+)\]$/, "$1");
  if (address !== "host-gateway" && parseIp(address.trim()) === undefined) throw new Error(`invalid IP address in add-host: ${quote(address)}`);
  return `${host}:${address}`;
}

export const checkLink: FlagCheck = (value) => {
  if (value === "") throw new Error("empty string specified for links");
  if (value.split(":").length > 2) throw new Error(`bad format for links: ${value}`);
};

const deviceRule: FlagCheck = (value) => {
  if (!/^[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}$/.test(value)) throw new Error(`invalid device cgroup format '${value}'`);
};

/** "/dev/x:value". */
export function parseDeviceLimit(text: string, kind: "bytes" | "operations" | "weight"): { Path: string; value: number } {
  const colon = text.indexOf(":");
  const device = text.slice(0, Math.max(colon, 0));
  if (colon <= 0) throw new Error(`bad format: ${text}`);
  if (!device.startsWith("/dev/")) throw new Error(`bad format for device path: ${text}`);
  const amount = text.slice(colon + 1);
  if (kind === "bytes") return { Path: device, value: rate(text, amount) };
  const number = /^\d+$/.test(amount) ? Number(amount) : Number.NaN;
  if (kind === "operations") {
    if (Number.isNaN(number)) throw new Error(`invalid rate for device: ${text}. The correct format is <device-path>:<number>. Number must be a positive integer`);
    return { Path: device, value: number };
  }
  if (!(number === 0 || (number >= 10 && number <= 1000))) throw new Error(`invalid weight for device: ${text}`);
  return { Path: device, value: number };
}

function rate(text: string, amount: string): number {
  try {
    return parseRamSize(amount);
  } catch {
    throw new Error(`invalid rate for device: ${text}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb`);
  }
}

const memorySwap: FlagCheck = (value) => (value === "-1" ? -1 : parseRamSize(value));

export const CREATE_CHECKS: Record<string, FlagCheck> = {
  "add-host": parseExtraHost,
  attach,
  "blkio-weight-device": (value) => parseDeviceLimit(value, "weight"),
  cpus: nanoCpus,
  "device-cgroup-rule": deviceRule,
  "device-read-bps": (value) => parseDeviceLimit(value, "bytes"),
  "device-read-iops": (value) => parseDeviceLimit(value, "operations"),
  "device-write-bps": (value) => parseDeviceLimit(value, "bytes"),
  "device-write-iops": (value) => parseDeviceLimit(value, "operations"),
  dns: checkAddress,
  "dns-search": dnsSearch,
  egress: (value) => formatEgress(parseEgress(value)),
  env: checkEnvironment,
  gpus: parseGpuRequest,
  label: checkLabel,
  link: checkLink,
  "memory-swap": memorySwap,
  mount: parseMount,
  net: parseNetwork,
  network: parseNetwork,
  sysctl,
  ulimit: parseUlimit,
};
