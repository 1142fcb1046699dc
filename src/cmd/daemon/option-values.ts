/** Checks of option values, with dockerd's messages. */
import { SCOPE_NAMES, type Scope } from "../../api/scopes.ts";
import { parsePrefix } from "../../lib/ip.ts";
import { parseAddress } from "../../lib/address.ts";
import { parseRamSize } from "../../lib/units.ts";

export function checkAddress(text: string): void {
  if (text === "") return;
  try {
    parseAddress(text);
  } catch {
    throw new Error(`IP address is not correctly formatted: ${text}`);
  }
}

export function checkBytes(text: string): void {
  if (parseRamSize(text) === undefined) throw new Error(`invalid size: '${text}'`);
}

/** Those of dockerd. The second ones concern parts that gantryd does without: they change nothing. */
const FEATURES = { done: ["cdi", "buildkit"], moot: ["containerd-snapshotter", "containerd-migration"] };

export function checkFeature(text: string): void {
  parseFeature(text);
}

/** "cdi", "cdi=false". */
export function parseFeature(text: string): { name: string; enabled: boolean; hasEffect: boolean } {
  const [name = "", value = "true"] = text.split("=", 2);
  if (![...FEATURES.done, ...FEATURES.moot].includes(name)) throw new Error(`the feature ${JSON.stringify(name)} is not supported: there is ${FEATURES.done.join(", ")}`);
  if (!/^(?:1|t|T|true|TRUE|True|0|f|F|false|FALSE|False)$/.test(value)) throw new Error(`invalid value ${JSON.stringify(value)} of the feature ${name}: it is true or false`);
  return { name, enabled: /^[1tT]/.test(value), hasEffect: FEATURES.done.includes(name) };
}

/** "bridge=com.docker.network.driver.mtu=1450". */
export function checkNetworkOption(text: string): void {
  if (!/^[^=]*=[^=]*=/.test(text)) throw new Error(`invalid value ${JSON.stringify(text)} for map option, should be root-key=key=value`);
}

const UINT32 = 0xffff_ffff;

export function checkMark(text: string): void {
  if (text !== "") parseMark(text);
}

/** "2", "0x2/0x3": a packet's mark, and the bits of it that count. */
export function parseMark(text: string): { value: number; mask: number } {
  const [mark = "", mask] = text.split("/");
  const number = (part: string, what: string): number => {
    const value = /^(?:0x[0-9a-f]+|0o?[0-7]*|0b[01]+|[1-9][0-9]*)$/i.test(part) ? Number(part.replace(/^0o?(?=[0-7])/i, "0o")) : -1;
    if (value < 0 || value > UINT32) throw new Error(`invalid firewall ${what} ${JSON.stringify(text)}: strconv.ParseUint: parsing ${JSON.stringify(part)}: ${value < 0 ? "invalid syntax" : "value out of range"}`);
    return value;
  };
  return { value: number(mark, "mark"), mask: mask === undefined ? UINT32 : number(mask, "mask") };
}

export function checkKeyValue(text: string): void {
  if (!/^[^=]+=/.test(text)) throw new Error(`invalid argument: ${text}: must be formatted 'opt=value'`);
}

export function checkLabel(text: string): void {
  const equals = text.indexOf("=");
  if (equals < 0) throw new Error(`bad attribute format: ${text}`);
  const key = text.slice(0, equals).toLowerCase();
  for (const reserved of ["com.docker.", "io.docker.", "org.dockerproject."]) {
    if (key.startsWith(reserved)) throw new Error(`label ${text} is not allowed: the namespaces com.docker.*, io.docker.*, and org.dockerproject.* are reserved for internal use`);
  }
}

export function checkMetricsAddress(text: string): void {
  if (text !== "") parseMetricsAddress(text);
}

/** "127.0.0.1:9323", "[::1]:9323", ":9323". */
export function parseMetricsAddress(text: string): { host: string; port: number } {
  const match = /^(\[[0-9a-fA-F:.%\w]+\]|[^:/[\]]*):(\d+)$/.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65535) throw new Error(`invalid metrics address ${JSON.stringify(text)}: expected HOST:PORT, as 127.0.0.1:9323`);
  return { host: (match[1] ?? "").replace(/^\[|\]$/g, ""), port };
}

export function checkSearchDomain(text: string): void {
  const name = text.trim();
  if (name === ".") return;
  if (name.length > 255 || !/[a-zA-Z]/.test(name) || !/^[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?\.?$/.test(name)) throw new Error(`${name} is not a valid domain`);
}

/** Throws for what is no address to listen on; "" is the default address. */
export function checkHost(text: string): void {
  if (text.trim() !== "") parseHost(text);
}

export type Host = { kind: "unix"; path: string } | { kind: "tcp"; host: string; port: number } | { kind: "fd"; name: string };

/** A unix socket whose clients may do less than everything. */
export interface ScopedSocket {
  path: string;
  allow: Scope[];
  /** Root only when absent. */
  group?: string;
}

export function checkScopedSocket(text: string): void {
  parseScopedSocket(text);
}

/** "/run/watch.sock,allow=list+logs,group=monitor". */
export function parseScopedSocket(text: string): ScopedSocket {
  const [path = "", ...options] = text.split(",");
  if (!path.startsWith("/")) throw new Error(`invalid socket ${JSON.stringify(text)}: it begins with an absolute path, as /run/watch.sock,allow=list+logs`);
  const socket: ScopedSocket = { path, allow: [] };
  for (const option of options) {
    const [key, value = ""] = option.split("=", 2);
    if (key === "allow") socket.allow = value.split("+").map(requireScope);
    else if (key === "group" && value !== "") socket.group = value;
    else throw new Error(`invalid option ${JSON.stringify(option)} of the socket ${path}: there are allow=SCOPE+SCOPE and group=NAME`);
  }
  if (socket.allow.length === 0) throw new Error(`the socket ${path} needs allow= with what it may: ${SCOPE_NAMES.join(", ")}`);
  return socket;
}

function requireScope(name: string): Scope {
  const scope = SCOPE_NAMES.find((known) => known === name);
  if (scope === undefined) throw new Error(`unknown scope ${JSON.stringify(name)} of a socket: there are ${SCOPE_NAMES.join(", ")}`);
  return scope;
}

const DEFAULT_PORT = 2375;

/** An address to listen on, in dockerd's forms; a bare "HOST:PORT" is TCP. */
export function parseHost(text: string, defaultPort = DEFAULT_PORT): Host {
  const trimmed = text.trim();
  const separator = trimmed.indexOf("://");
  const scheme = separator < 0 ? "tcp" : trimmed.slice(0, separator);
  const address = separator < 0 ? trimmed : trimmed.slice(separator + 3);
  switch (scheme) {
    case "unix":
      if (address.includes("://")) throw new Error(`invalid unix address: ${address}`);
      return { kind: "unix", path: address === "" ? "/run/gantry/gantry.sock" : address };
    case "fd":
      return { kind: "fd", name: address };
    case "tcp":
      return parseTcp(text, address, defaultPort);
    default:
      throw new Error(`invalid bind address (${text}): unsupported proto '${scheme}'`);
  }
}

function parseTcp(text: string, address: string, defaultPort: number): Host {
  const match = /^(\[[0-9a-fA-F:.%\w]+\]|[^:/[\]]*)(?::(\d*))?$/.exec(address);
  if (match === null) throw new Error(`invalid bind address (${text}): expected tcp://HOST:PORT`);
  const port = match[2] === undefined || match[2] === "" ? defaultPort : Number(match[2]);
  if (port > 65535) throw new Error(`invalid bind address (${text}): invalid port: ${port}`);
  return { kind: "tcp", host: (match[1] ?? "").replace(/^\[|\]$/g, "") || "127.0.0.1", port };
}

export interface AddressPool {
  base: string;
  size: number;
}

export function checkPool(text: string): void {
  parsePool(text);
}

/** "base=10.0.0.0/8,size=24", with dockerd's messages. */
export function parsePool(text: string): AddressPool {
  let base: string | undefined;
  let size: number | undefined;
  for (const part of text.split(",")) {
    const equals = part.indexOf("=");
    if (equals < 0) throw new Error(`invalid field '${part}' must be a key=value pair`);
    const key = part.slice(0, equals);
    const value = part.slice(equals + 1);
    if (key === "base") base = value;
    else if (key === "size") size = poolSize(value);
    else throw new Error(`unexpected key '${key}' in '${part}'`);
  }
  if (base === undefined || size === undefined) throw new Error(`invalid address pool '${text}': it needs base and size`);
  return checkedPool({ base, size });
}

function poolSize(text: string): number {
  if (!/^\d+$/.test(text)) throw new Error(`invalid size value: ${text}`);
  return Number(text);
}

export function checkedPool(pool: AddressPool): AddressPool {
  if (parsePrefix(pool.base) === undefined) throw new Error(`invalid base prefix "${pool.base}"`);
  return pool;
}

export interface Ulimit {
  name: string;
  soft: number;
  hard: number;
}

const ULIMITS = ["core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack"];

export function checkUlimit(text: string): void {
  parseUlimit(text);
}

/** "nofile=1024:2048"; -1 is no limit. With dockerd's messages. */
export function parseUlimit(text: string): Ulimit {
  const equals = text.indexOf("=");
  const name = text.slice(0, Math.max(equals, 0));
  const limits = text.slice(equals + 1).split(":");
  if (equals < 0 || name === "") throw new Error(`invalid ulimit argument: ${text}`);
  if (!ULIMITS.includes(name)) throw new Error(`invalid ulimit type: ${name}`);
  if (limits.length > 2) throw new Error(`too many limit value arguments - ${text.slice(equals + 1)}, can only have up to two, \`soft[:hard]\``);
  const [soft = 0, hard = soft] = limits.map((limit) => {
    if (!/^-?\d+$/.test(limit)) throw new Error(`strconv.ParseInt: parsing ${JSON.stringify(limit)}: invalid syntax`);
    return Number(limit);
  });
  if (hard !== -1 && (soft === -1 || soft > hard)) throw new Error(`ulimit soft limit must be less than or equal to hard limit: ${soft === -1 ? "unlimited" : soft} > ${hard}`);
  return { name, soft, hard };
}

/** USER[:GROUP] of --userns-remap. Throws. */
export function checkRemap(text: string): void {
  if (text.split(":").length > 2) throw new Error(`Invalid user/group specification in --userns-remap: ${JSON.stringify(text)}`);
}
