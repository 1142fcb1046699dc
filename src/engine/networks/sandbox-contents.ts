/** What a container's hosts, hostname and resolv.conf files say. */
import { readFileSync } from "node:fs";
import type { ContainerConfig, HostConfig } from "../../core/container-config.ts";
import { extraHosts, hostsFile, ownNames } from "./hosts-file.ts";
import type { HostsEntry } from "./hosts-file.ts";
import { resolvConf } from "./resolv-conf.ts";
import type { DnsSettings } from "./resolv-conf.ts";
import type { SandboxFiles } from "./sandbox-files.ts";

/** The host's own files, and whether its kernel speaks IPv6. */
export interface HostFiles {
  hosts: string;
  resolvConf: string;
  ipv6: boolean;
}

export interface ContentsRequest {
  config: Pick<ContainerConfig, "Hostname" | "Domainname">;
  hostConfig: Pick<HostConfig, "ExtraHosts" | "Dns" | "DnsSearch" | "DnsOptions">;
  host: HostFiles;
  /** The container is in the host's network. */
  shared: boolean;
  /** IPv6 is switched off in it, its loopback's too. */
  withoutIpv6: boolean;
  daemonDns: DnsSettings;
  hostGateways: readonly string[];
  /** Of containers that it is linked to. */
  links: readonly HostsEntry[];
  /** The container's own. */
  addresses: readonly string[];
  /** Where a name service answers in the sandbox. */
  served?: string;
}

export function sandboxContents(request: ContentsRequest): SandboxFiles {
  return { hosts: hostsContent(request), hostname: `${request.config.Hostname}\n`, resolvConf: resolvContent(request) };
}

/** In the host's network without additions it is the host's file, so that names known there are known. */
function hostsContent({ config, hostConfig, host, shared, withoutIpv6, hostGateways, links, addresses }: ContentsRequest): string {
  const extra = extraHosts(hostConfig.ExtraHosts ?? [], hostGateways);
  if (shared && extra.length === 0) return readIfThere(host.hosts);
  const own = addresses.map((address) => ({ address, names: ownNames(config.Hostname, config.Domainname) }));
  return hostsFile({ ipv6: host.ipv6 && !withoutIpv6, extra: [...extra, ...links], own });
}

function resolvContent({ hostConfig, host, shared, daemonDns, addresses, served }: ContentsRequest): string {
  return resolvConf({ host: readIfThere(host.resolvConf), path: host.resolvConf, dns: dnsSettings(hostConfig, daemonDns), isolated: !shared, ipv6: addresses.some((address) => address.includes(":")), ...(served === undefined ? {} : { served }) });
}

/** The container's own settings win over the daemon's, each by itself. */
export function dnsSettings({ Dns, DnsSearch, DnsOptions }: Pick<HostConfig, "Dns" | "DnsSearch" | "DnsOptions">, daemon: DnsSettings): DnsSettings {
  const either = (own: readonly string[] | null, otherwise: readonly string[]): readonly string[] => (own && own.length > 0 ? own : otherwise);
  return { servers: either(Dns, daemon.servers), search: either(DnsSearch, daemon.search), options: either(DnsOptions, daemon.options) };
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
