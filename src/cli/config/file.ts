/** The client's configuration file: Docker's own, in its place and format, so that both clients share it. */
import fs from "node:fs";
import { normalize } from "node:path";
import { stderr } from "../streams.ts";

export interface AuthEntry {
  auth?: string;
  username?: string;
  password?: string;
  identitytoken?: string;
  registrytoken?: string;
}

export interface ConfigData {
  auths?: Record<string, AuthEntry>;
  HttpHeaders?: Record<string, string>;
  psFormat?: string;
  imagesFormat?: string;
  networksFormat?: string;
  volumesFormat?: string;
  pluginsFormat?: string;
  statsFormat?: string;
  detachKeys?: string;
  currentContext?: string;
  credsStore?: string;
  credHelpers?: Record<string, string>;
  proxies?: Record<string, Record<string, string>>;
  [other: string]: unknown;
}

export class ConfigFile {
  readonly directory: string;
  readonly path: string;
  readonly data: ConfigData;

  constructor(directory: string, data: ConfigData) {
    this.directory = directory;
    this.path = `${directory}/config.json`;
    this.data = data;
  }

  /** Writes it back, readable by its owner only; a symbolic link stays one. */
  save(): void {
    fs.mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    const target = fs.existsSync(this.path) ? fs.realpathSync(this.path) : this.path;
    const temporary = `${target}${process.pid}`;
    fs.writeFileSync(temporary, JSON.stringify(this.data, null, "\t"), { mode: 0o600 });
    fs.renameSync(temporary, target);
  }
}

export function configDirectory(flag: string): string {
  return flag || process.env["DOCKER_CONFIG"] || `${process.env["HOME"] || "/root"}/.docker`;
}

export function loadConfig(directory: string): ConfigFile {
  const file = `${directory}/config.json`;
  try {
    const text = fs.readFileSync(file, "utf8");
    const parsed = text === "" ? {} : parse(text, file);
    return new ConfigFile(directory, typeof parsed === "object" && parsed !== null ? (parsed as ConfigData) : {});
  } catch (thrown) {
    const error = thrown as NodeJS.ErrnoException;
    if (error.code !== "ENOENT" && error.code !== "ENOTDIR") stderr.line(`WARNING: Error loading config file: ${file}: ${error.message}`);
    return new ConfigFile(directory, {});
  }
}

/** Warns in Docker's words of what it cannot use, and goes on without it. */
function parse(text: string, file: string): unknown {
  const warn = (reason: string): void => stderr.line(`WARNING: Error parsing config file (${normalize(file)}): ${reason}`);
  try {
    const parsed = JSON.parse(text) as unknown;
    if (parsed === null || (typeof parsed === "object" && !Array.isArray(parsed))) return parsed;
    warn(`json: cannot unmarshal ${Array.isArray(parsed) ? "array" : typeof parsed === "boolean" ? "bool" : typeof parsed} into Go value of type configfile.ConfigFile`);
  } catch (thrown) {
    const message = (thrown as Error).message;
    const at = Number(/position (\d+)/.exec(message)?.[1] ?? text.length);
    warn(text.slice(at).trim() === "" ? "unexpected EOF" : message);
  }
  return {};
}

const PROXY_NAMES: Record<string, string> = { httpProxy: "HTTP_PROXY", httpsProxy: "HTTPS_PROXY", noProxy: "NO_PROXY", ftpProxy: "FTP_PROXY", allProxy: "ALL_PROXY" };

/** `given` with the last value of each name, and the configuration's proxy settings for this daemon, in both spellings, unless named already. */
export function withProxies(config: ConfigData, host: string, given: string[]): string[] {
  const proxies = config.proxies?.[host] ?? config.proxies?.["default"];
  const known = new Map(given.map((entry) => [entry.split("=", 1)[0] ?? "", entry]));
  for (const [key, name] of Object.entries(PROXY_NAMES)) {
    const value = proxies?.[key];
    if (!value) continue;
    for (const spelled of [name, name.toLowerCase()]) if (!known.has(spelled)) known.set(spelled, `${spelled}=${value}`);
  }
  return [...known.values()];
}
