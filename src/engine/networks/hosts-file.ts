/** A container's /etc/hosts, in Docker's form. */
import { invalidParameter } from "../../lib/errors.ts";
import { formatIp, parseIp } from "../../lib/ip.ts";

export interface HostsEntry {
  address: string;
  names: string;
}

const LOOPBACK: readonly HostsEntry[] = [{ address: "127.0.0.1", names: "localhost" }];
const LOOPBACK_IPV6: readonly HostsEntry[] = [
  { address: "::1", names: "localhost ip6-localhost ip6-loopback" },
  { address: "fe00::", names: "ip6-localnet" },
  { address: "ff00::", names: "ip6-mcastprefix" },
  { address: "ff02::1", names: "ip6-allnodes" },
  { address: "ff02::2", names: "ip6-allrouters" },
];

/** `own`: the container's addresses under its names. */
export function hostsFile(options: { ipv6: boolean; extra: readonly HostsEntry[]; own: readonly HostsEntry[] }): string {
  const entries = [...LOOPBACK, ...(options.ipv6 ? LOOPBACK_IPV6 : []), ...options.extra, ...options.own];
  return entries.map(({ address, names }) => `${address}\t${names}\n`).join("");
}

/** "host.domain host": the full name first, and the bare one when they differ. */
export function ownNames(hostname: string, domainname: string): string {
  const full = domainname === "" ? hostname : `${hostname}.${domainname}`;
  const dot = full.indexOf(".");
  return dot < 0 ? full : `${full} ${full.slice(0, dot)}`;
}

export const HOST_GATEWAY = "host-gateway";

/** --add-host entries, "name:address". `hostGateways` are what "host-gateway" stands for. */
export function extraHosts(entries: readonly string[], hostGateways: readonly string[]): HostsEntry[] {
  return entries.flatMap((entry) => {
    const colon = entry.indexOf(":");
    const names = entry.slice(0, colon);
    const address = entry.slice(colon + 1);
    if (colon < 1 || address === "") throw invalidParameter(`bad format for add-host: ${JSON.stringify(entry)}`);
    if (address !== HOST_GATEWAY) return [{ address: canonical(address), names }];
    if (hostGateways.length === 0) throw invalidParameter("unable to derive the IP value for host-gateway");
    return hostGateways.map((gateway) => ({ address: gateway, names }));
  });
}

function canonical(text: string): string {
  const address = parseIp(text.replace(/^\[(.*)\]$/, "$1"));
  if (!address) throw invalidParameter(`invalid IP address in add-host: ${JSON.stringify(text)}`);
  return formatIp(address);
}
