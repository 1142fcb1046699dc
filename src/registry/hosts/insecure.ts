/** Registries that may be without TLS or with any certificate: by name or by the network of their address. */
import { invalidParameter } from "../../lib/errors.ts";
import { contains, formatPrefix, type IpPrefix, networkOf, parseIp, parsePrefix } from "../../lib/ip.ts";
import { quote } from "../../lib/strconv.ts";

export interface InsecureRegistries {
  names: ReadonlySet<string>;
  networks: readonly IpPrefix[];
}

const loopback = ["::1/128", "127.0.0.0/8"];
const hostPort = /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::([0-9]+))?$/;

/** Throws "invalid-parameter" in Docker's words. The loopback's networks are always among the result. */
export function parseInsecure(registries: readonly string[]): InsecureRegistries {
  const names = new Set<string>();
  const networks = new Map<string, IpPrefix>();
  for (const given of [...registries, ...loopback]) {
    const entry = withoutScheme(given === "index.docker.io" ? "docker.io" : given);
    const prefix = parsePrefix(entry);
    if (prefix) {
      const network = networkOf(prefix);
      networks.set(formatPrefix(network), network);
    } else names.add(checkHost(entry));
  }
  return { names, networks: [...networks.values()] };
}

function withoutScheme(entry: string): string {
  if (entry.startsWith("-") || entry.endsWith("-")) throw invalidParameter(`invalid index name (${entry}). Cannot begin or end with a hyphen`);
  const [, scheme, rest] = /^([^:]*):\/\/(.*)$/.exec(entry) ?? [];
  if (scheme === undefined || rest === undefined) return entry;
  if (/^https?$/i.test(scheme)) return rest;
  throw invalidParameter(`insecure registry ${entry} should not contain '://'`);
}

function checkHost(entry: string): string {
  const match = hostPort.exec(entry);
  const reason = !match && !parseIp(entry) ? `invalid host ${quote(entry.replace(/:\d*$/, ""))}` : Number(match?.[1] ?? 0) > 65_535 ? `invalid port ${quote(match?.[1] ?? "")}` : undefined;
  if (reason !== undefined) throw invalidParameter(`insecure registry ${entry} is not valid: ${reason}`);
  return entry;
}

/** A name is looked up, so that a network can match it. */
export async function isInsecure({ names, networks }: InsecureRegistries, host: string): Promise<boolean> {
  if (names.has(host)) return true;
  if (host === "docker.io" || host === "registry-1.docker.io") return false;
  const name = host.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  const own = parseIp(name);
  const addresses = own ? [own] : await lookup(name, networks.length);
  return addresses.some((address) => networks.some((network) => contains(network, address)));
}

async function lookup(name: string, networks: number): Promise<NonNullable<ReturnType<typeof parseIp>>[]> {
  /* Names other than localhost do not point to the loopback unless someone says so; only further networks are worth a question. */
  if (name !== "localhost" && networks === loopback.length) return [];
  try {
    const found = await process.getBuiltinModule("node:dns/promises").lookup(name, { all: true });
    return found.flatMap(({ address }) => parseIp(address) ?? []);
  } catch {
    return [];
  }
}
