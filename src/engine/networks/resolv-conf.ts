/** A container's /etc/resolv.conf: the host's, with the container's or the daemon's own settings in place of its parts. */
import { isLoopback, parseIp } from "../../lib/ip.ts";
import { parseResolvConf } from "../../lib/resolv-conf.ts";
import type { ResolvConf } from "../../lib/resolv-conf.ts";

export interface DnsSettings {
  servers: readonly string[];
  search: readonly string[];
  options: readonly string[];
}

/** What a container gets when the host names no server that it could reach. */
const PUBLIC_SERVERS = ["8.8.8.8", "8.8.4.4"];

export interface ResolvConfRequest {
  /** The host's file. */
  host: string;
  path: string;
  dns: DnsSettings;
  /** false: as it is, for containers in the host's network. */
  isolated: boolean;
  /** The name service that stands before the servers. */
  served?: string;
}

/** The file's text. Servers on the host's loopback, and IPv6 ones, cannot be reached from a container and are left out. */
export function resolvConf({ host, path, dns, isolated, served }: ResolvConfRequest): string {
  const conf = parseResolvConf(host);
  const overrides: string[] = [];
  const notes: string[] = [];
  if (dns.servers.length > 0) {
    conf.nameservers = [...dns.servers];
    overrides.push("nameservers");
  } else if (isolated && served === undefined) {
    conf.nameservers = conf.nameservers.filter(isReachable);
    if (conf.nameservers.length === 0) {
      conf.nameservers = PUBLIC_SERVERS;
      notes.push("# No usable server in the host's file: public ones are used.");
    }
  }
  if (dns.search.length > 0) {
    conf.search = dns.search.filter((domain) => domain !== ".");
    overrides.push("search");
  }
  if (dns.options.length > 0) {
    conf.options = [...dns.options];
    overrides.push("options");
  }
  if (served !== undefined) {
    notes.push(`# Names that it does not know are asked of: ${conf.nameservers.join(" ") || "nobody"}`);
    conf.nameservers = [served];
    if (!conf.options.some((option) => option.startsWith("ndots:"))) conf.options.push("ndots:0");
  }
  if (conf.invalid.length > 0) notes.push(`# Not understood in the host's file: ${conf.invalid.join(" ")}`);
  return [...HEADER, "", ...body(conf), "", `# From ${path}, with these of its own: ${overrides.join(", ") || "none"}`, ...notes, ""].join("\n");
}

const HEADER = ["# Made by Gantry at the container's start.", "# Once it was changed by hand, it is left alone."];

function isReachable(server: string): boolean {
  const address = parseIp(server);
  return address !== undefined && address.family === 4 && !isLoopback(address);
}

function body(conf: ResolvConf): string[] {
  const lines = conf.nameservers.map((server) => `nameserver ${server}`);
  if (conf.search.length > 0) lines.push(`search ${conf.search.join(" ")}`);
  if (conf.options.length > 0) lines.push(`options ${conf.options.join(" ")}`);
  return [...lines, ...conf.other];
}
