/** Where plugins are: sockets and descriptions in Docker's folders, which a plugin puts there. */
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { messageOf, systemError } from "../../lib/errors.ts";

/** Sockets: NAME.sock, or NAME/NAME.sock. */
export const SOCKET_FOLDER = "/run/docker/plugins";
/** Descriptions: NAME.spec, a file with an address, or NAME.json. */
export const SPEC_FOLDERS = ["/etc/docker/plugins", "/usr/lib/docker/plugins"];

const MAX_SPEC_BYTES = 64 * 1024;

export interface PluginAddress {
  /** unix:///run/x.sock, or tcp://host:port, or http(s)://. */
  url: string;
  tls?: PluginTls;
}

export interface PluginTls {
  caFile: string;
  certFile: string;
  keyFile: string;
  insecureSkipVerify: boolean;
}

export interface PluginFolders {
  sockets: string;
  specs: readonly string[];
}

/** Undefined when there is no plugin of that name. Throws "system" for a description that cannot be read. */
export function findPlugin(name: string, folders: PluginFolders = { sockets: SOCKET_FOLDER, specs: SPEC_FOLDERS }): PluginAddress | undefined {
  if (!/^[\w][\w.-]*$/.test(name)) return undefined;
  for (const path of [join(folders.sockets, `${name}.sock`), join(folders.sockets, name, `${name}.sock`)]) {
    if (statSync(path, { throwIfNoEntry: false })?.isSocket()) return { url: `unix://${path}` };
  }
  for (const folder of folders.specs) {
    for (const base of [folder, join(folder, name)]) {
      const found = describedIn(join(base, `${name}.spec`), readSpec) ?? describedIn(join(base, `${name}.json`), readJson);
      if (found) return found;
    }
  }
  return undefined;
}

/** Names of all that are there, sorted. */
export function pluginNames(folders: PluginFolders = { sockets: SOCKET_FOLDER, specs: SPEC_FOLDERS }): string[] {
  const names = new Set<string>();
  for (const folder of [folders.sockets, ...folders.specs]) {
    for (const entry of entriesOf(folder)) {
      const name = entry.replace(/\.(?:sock|spec|json)$/, "");
      if (findPlugin(name, folders)) names.add(name);
    }
  }
  return [...names].sort();
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function describedIn(path: string, read: (text: string) => PluginAddress): PluginAddress | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile()) return undefined;
  try {
    if (stat.size > MAX_SPEC_BYTES) throw new Error(`it has more than ${MAX_SPEC_BYTES} bytes`);
    return read(readFileSync(path, "utf8"));
  } catch (cause) {
    throw systemError(`the plugin's description ${path}: ${messageOf(cause)}`, cause);
  }
}

function readSpec(text: string): PluginAddress {
  return { url: checkUrl(text.trim()) };
}

function readJson(text: string): PluginAddress {
  const { Addr: address, TLSConfig: tls } = JSON.parse(text) as { Addr?: unknown; TLSConfig?: Record<string, unknown> | null };
  const url = checkUrl(String(address ?? ""));
  if (!tls) return { url };
  const file = (key: string): string => String(tls[key] ?? "");
  return { url, tls: { caFile: file("CAFile"), certFile: file("CertFile"), keyFile: file("KeyFile"), insecureSkipVerify: tls["InsecureSkipVerify"] === true } };
}

function checkUrl(text: string): string {
  if (!/^(?:unix:\/\/\/.|(?:tcp|https?):\/\/[^/]+)/.test(text)) throw new Error(`${JSON.stringify(text)} is no address of a plugin: unix:///PATH, tcp://HOST:PORT or https://HOST:PORT`);
  return text;
}
