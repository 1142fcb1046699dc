/** Credentials for registries from the configuration file, as the API's headers carry them. */
import type { AuthEntry, ConfigData } from "../config/file.ts";
import { messageOf } from "../../lib/errors.ts";
import type { Reference } from "../../lib/reference.ts";
import { printNote } from "../note.ts";
import { stderr } from "../streams.ts";

export const INDEX_SERVER = "https://index.docker.io/v1/";

export interface AuthConfig {
  username?: string;
  password?: string;
  serveraddress?: string;
  identitytoken?: string;
  registrytoken?: string;
}

/** The key that a registry's credentials have in the file. */
export const authKey = (reference: Pick<Reference, "domain">): string => (reference.domain === "docker.io" ? INDEX_SERVER : reference.domain);

export function decodeAuth(server: string, entry: AuthEntry): AuthConfig {
  const decoded = entry.auth ? Buffer.from(entry.auth, "base64").toString() : "";
  const colon = decoded.indexOf(":");
  const pair = colon > 0 ? { username: decoded.slice(0, colon), password: decoded.slice(colon + 1).replace(/\0+$/, "") } : { ...(entry.username ? { username: entry.username } : {}), ...(entry.password ? { password: entry.password } : {}) };
  return { ...pair, serveraddress: server, ...(entry.identitytoken ? { identitytoken: entry.identitytoken } : {}), ...(entry.registrytoken ? { registrytoken: entry.registrytoken } : {}) };
}

/** What is known for a server: the environment's word, a credential helper's answer, or the file's entry. */
export function credentialsFor(config: ConfigData, server: string): AuthConfig {
  const given = environmentEntries()?.[server];
  if (given) return decodeAuth(server, given);
  const helper = config.credHelpers?.[server] ?? config.credsStore;
  if (helper) return fromHelper(helper, server);
  const host = (key: string): string => key.replace(/^https?:\/\//, "").split("/")[0] ?? "";
  const key = Object.keys(config.auths ?? {}).find((name) => name === server) ?? Object.keys(config.auths ?? {}).find((name) => host(name) === host(server));
  return key === undefined ? {} : decodeAuth(key, config.auths?.[key] ?? {});
}

/** Of every server that something is known for. */
export function allCredentials(config: ConfigData): Record<string, AuthConfig> {
  const servers = new Set([...Object.keys(environmentEntries() ?? {}), ...Object.keys(config.credHelpers ?? {}), ...Object.keys(config.auths ?? {}), ...(config.credsStore ? serversOf(config.credsStore) : [])]);
  return Object.fromEntries([...servers].map((server) => [server, credentialsFor(config, server)]));
}

/** What `docker-credential-NAME list` knows; a helper that does not answer knows nothing. */
function serversOf(helper: string): string[] {
  const { status, stdout } = process.getBuiltinModule("node:child_process").spawnSync(`docker-credential-${helper}`, ["list"], { encoding: "utf8" });
  return status === 0 ? Object.keys(JSON.parse(stdout) as Record<string, string>) : [];
}

const ENVIRONMENT = "DOCKER_AUTH_CONFIG";

/** Credentials of the environment take precedence; malformed ones do not count, which is said. */
function environmentEntries(): Record<string, AuthEntry> | undefined {
  const text = process.env[ENVIRONMENT];
  if (!text) return undefined;
  try {
    const { auths = {} } = JSON.parse(text) as { auths?: Record<string, AuthEntry> };
    for (const [server, { auth }] of Object.entries(auths)) if (!auth) throw new Error(`${ENVIRONMENT} environment variable is missing key \`auth\` for ${server}`);
    return auths;
  } catch (thrown) {
    stderr.line(`Failed to create credential store from ${ENVIRONMENT}:  ${messageOf(thrown)}`);
    return undefined;
  }
}

export function warnOfEnvironment(): void {
  if (process.env[ENVIRONMENT]) printNote(stderr, "Warn", `${ENVIRONMENT} is set and takes precedence.\nUnset ${ENVIRONMENT} to restore the CLI auth behaviour.\n`);
}

/** The host of what may be a URL. */
export const hostOfServer = (server: string): string => server.replace(/^[a-z]+:\/\//i, "").split("/")[0] ?? "";

/** Asks `docker-credential-NAME get`; a server that it does not know has no credentials. */
function fromHelper(helper: string, server: string): AuthConfig {
  const { status, stdout, error } = process.getBuiltinModule("node:child_process").spawnSync(`docker-credential-${helper}`, ["get"], { input: server, encoding: "utf8" });
  if (error) throw new Error(`error getting credentials - err: ${error.message}, out: \`\``);
  if (status !== 0) {
    if (/credentials not found/.test(stdout)) return {};
    throw new Error(`error getting credentials - err: exit status ${status}, out: \`${stdout.trim()}\``);
  }
  const { Username: username = "", Secret: secret = "" } = JSON.parse(stdout) as { Username?: string; Secret?: string };
  return username === "<token>" ? { identitytoken: secret, serveraddress: server } : { username, password: secret, serveraddress: server };
}

export const encodeAuth = (auth: object): string => Buffer.from(JSON.stringify(auth)).toString("base64").replaceAll("+", "-").replaceAll("/", "_");
