/**
 * A registry's folder in certs.d, as containerd and Docker read it: hosts.toml, or else certificates by their names.
 *
 *   certs.d/HOST_PORT_/hosts.toml      also HOST:PORT, and _default for all others
 *   certs.d/HOST:PORT/ca.crt           an authority (any *.crt)
 *   certs.d/HOST:PORT/client.cert      a client certificate, with client.key beside it
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { messageOf, systemError } from "../../lib/errors.ts";
import { parseDuration } from "../../lib/strconv.ts";
import { defaultTls, type TlsSettings } from "../http/tls-settings.ts";
import { allCapabilities, type Capability } from "./endpoint.ts";

/** An endpoint as a folder has it. */
export interface ConfiguredHost {
  /** Undefined: the registry itself. */
  address: { scheme: "http" | "https"; host: string; path: string } | undefined;
  capabilities: ReadonlySet<Capability>;
  skipVerify: boolean | undefined;
  authorities: string[];
  clientPairs: [cert: string, key: string][];
  headers: Record<string, string>;
  dialMilliseconds: number | undefined;
}

export const isTlsConfigured = (host: ConfiguredHost): boolean => host.skipVerify !== undefined || host.authorities.length > 0 || host.clientPairs.length > 0;
export const tlsOf = (host: ConfiguredHost): TlsSettings => (isTlsConfigured(host) ? { skipVerify: host.skipVerify ?? false, authorities: host.authorities, clientPairs: host.clientPairs } : defaultTls);

/** Mirrors in their order, the registry last. Undefined when no folder is there. Throws "system" that names the file. */
export async function configuredHosts(roots: readonly string[], registry: string): Promise<ConfiguredHost[] | undefined> {
  const folder = folderOf(roots, registry);
  if (folder === undefined) return undefined;
  const path = join(folder, "hosts.toml");
  const text = readIfThere(path);
  if (text === undefined || text.trim() === "") return [certificatesIn(folder)];
  try {
    const { parse } = await import("smol-toml");
    return hostsOf(parse(text), folder);
  } catch (cause) {
    throw systemError(`invalid registry configuration ${path}: ${messageOf(cause)}`, cause);
  }
}

function folderOf(roots: readonly string[], registry: string): string | undefined {
  const colon = registry.lastIndexOf(":");
  const escaped = colon > 0 ? [`${registry.slice(0, colon)}_${registry.slice(colon + 1)}_`] : [];
  for (const root of roots) {
    for (const name of [...escaped, registry, "_default"]) {
      const folder = join(root, name);
      if (statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return folder;
    }
  }
  return undefined;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw systemError(messageOf(error), error);
  }
}

const unconfigured = (): ConfiguredHost => ({ address: undefined, capabilities: allCapabilities, skipVerify: undefined, authorities: [], clientPairs: [], headers: {}, dialMilliseconds: undefined });

function certificatesIn(folder: string): ConfiguredHost {
  const host = unconfigured();
  const names = readdirSync(folder).sort();
  for (const name of names) {
    if (name.endsWith(".crt")) host.authorities.push(join(folder, name));
    if (!name.endsWith(".cert")) continue;
    const key = `${name.slice(0, -".cert".length)}.key`;
    /* A certificate's file may hold the key, too. */
    host.clientPairs.push([join(folder, name), join(folder, names.includes(key) ? key : name)]);
  }
  return host;
}

type Table = Record<string, unknown>;

function hostsOf(file: Table, folder: string): ConfiguredHost[] {
  const mirrors = Object.entries((file["host"] ?? {}) as Record<string, Table>);
  const server = file["server"];
  return [...mirrors.map(([address, table]) => hostOf(address, table, folder)), hostOf(typeof server === "string" ? server : "", file, folder)];
}

function hostOf(address: string, table: Table, folder: string): ConfiguredHost {
  const { skip_verify: skipVerify, dial_timeout: dialTimeout } = table;
  return {
    address: address === "" ? undefined : addressOf(address, table["override_path"] === true),
    capabilities: capabilitiesOf(table["capabilities"]),
    skipVerify: typeof skipVerify === "boolean" ? skipVerify : undefined,
    authorities: pathsOf(table["ca"], "ca", folder),
    clientPairs: clientPairsOf(table["client"], folder),
    headers: headersOf(table["header"]),
    dialMilliseconds: typeof dialTimeout === "string" ? parseDuration(dialTimeout) / 1e6 : undefined,
  };
}

function addressOf(text: string, overridePath: boolean): ConfiguredHost["address"] {
  const url = URL.parse(text.includes("://") ? text : `https://${text}`);
  if (!url || url.host === "") throw new Error(`unable to parse server ${text}`);
  if (url.protocol !== "http:" && url.protocol !== "https:") throw new Error(`unsupported scheme in server ${text}`);
  const path = url.pathname.replace(/\/+$/, "");
  return { scheme: url.protocol === "http:" ? "http" : "https", host: url.host, path: overridePath || path.endsWith("/v2") ? path : `${path}/v2` };
}

function capabilitiesOf(value: unknown): ReadonlySet<Capability> {
  if (!Array.isArray(value) || value.length === 0) return allCapabilities;
  const found = new Set<Capability>();
  for (const item of value as unknown[]) {
    const name = String(item).toLowerCase();
    if (name === "pull" || name === "resolve" || name === "push") found.add(name);
    else if (name !== "referrers") throw new Error(`unknown capability ${String(item)}`);
  }
  return found;
}

function pathsOf(value: unknown, name: string, folder: string): string[] {
  const list = value === undefined ? [] : Array.isArray(value) ? (value as unknown[]) : [value];
  return list.map((item) => {
    if (typeof item === "string") return resolve(folder, item);
    throw new Error(`invalid value for "${name}"`);
  });
}

function clientPairsOf(value: unknown, folder: string): [string, string][] {
  const list = value === undefined ? [] : Array.isArray(value) ? (value as unknown[]) : [value];
  return list.map((item) => {
    const [cert, key = cert, ...rest] = pathsOf(item, "client", folder);
    if (cert === undefined || key === undefined || rest.length > 0) throw new Error('invalid pair for "client"');
    return [cert, key];
  });
}

function headersOf(value: unknown): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, entry] of Object.entries((value ?? {}) as Table)) {
    const values = Array.isArray(entry) ? (entry as unknown[]) : [entry];
    if (!values.every((item) => typeof item === "string")) throw new Error(`invalid value for header "${name}"`);
    headers[name.toLowerCase()] = values.join(", ");
  }
  return headers;
}
