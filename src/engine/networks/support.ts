/** What a create request may ask of the network: Docker's checks in its words, and "not implemented" for what a later version brings. */
import type { ContainerConfig, EndpointSettings, HostConfig, NetworkingConfig } from "../../core/container-config.ts";
import { invalidParameter, notImplemented } from "../../lib/errors.ts";
import { contains, parseIp } from "../../lib/ip.ts";
import type { IpPrefix } from "../../lib/ip.ts";

export type NetworkMode = { kind: "host" | "none" | "bridge" } | { kind: "container"; ref: string } | { kind: "user-defined"; name: string };

export function networkMode(text: string): NetworkMode {
  if (text === "" || text === "default" || text === "bridge") return { kind: "bridge" };
  if (text === "host" || text === "none") return { kind: text };
  if (text.startsWith("container:")) return { kind: "container", ref: text.slice("container:".length) };
  return { kind: "user-defined", name: text };
}

export interface NetworkRequest {
  config: Pick<ContainerConfig, "ExposedPorts">;
  hostConfig: Pick<HostConfig, "NetworkMode" | "PortBindings" | "PublishAllPorts" | "Links">;
  networkingConfig: NetworkingConfig;
}

/**
 * Throws for what is wrong ("invalid-parameter") or not there yet ("not-implemented"). Ports and links without an effect in
 * the asked mode are let through, as Docker does; a network that does not exist fails at the start.
 */
export function checkNetworkSupport(request: NetworkRequest, bridgeSubnets: readonly IpPrefix[]): void {
  const mode = networkMode(request.hostConfig.NetworkMode);
  for (const [name, settings] of Object.entries(request.networkingConfig.EndpointsConfig ?? {})) {
    if (settings && networkMode(name).kind === "bridge") checkBridgeEndpoint(name, settings, bridgeSubnets);
  }
  if (mode.kind === "host" || mode.kind === "none" || mode.kind === "container") return;
  const published = Object.entries(request.hostConfig.PortBindings ?? {}).find(([, bindings]) => bindings && bindings.length > 0);
  if (published) throw notImplemented(`publishing port ${published[0]} is not implemented yet (HostConfig.PortBindings): use the host network, or connect to the container's address`);
  if (request.hostConfig.PublishAllPorts && Object.keys(request.config.ExposedPorts ?? {}).length > 0) throw notImplemented("publishing all exposed ports is not implemented yet (HostConfig.PublishAllPorts)");
  if ((request.hostConfig.Links ?? []).length > 0) throw notImplemented("links are not implemented yet (HostConfig.Links)");
}

function checkBridgeEndpoint(name: string, settings: EndpointSettings, subnets: readonly IpPrefix[]): void {
  const faults = endpointFaults(settings, subnets);
  if (faults.length > 0) throw invalidParameter(`invalid config for network ${name}: invalid endpoint settings:\n${faults.length === 1 ? faults[0]! : faults.map((fault) => `* ${fault}`).join("\n")}`);
  if ((settings.Links ?? []).length > 0) throw notImplemented("links are not implemented yet (EndpointsConfig.bridge.Links)");
  const option = Object.keys(settings.DriverOpts ?? {})[0];
  if (option !== undefined) throw notImplemented(`the endpoint option ${option} is not implemented yet (EndpointsConfig.bridge.DriverOpts)`);
}

function endpointFaults({ IPAMConfig, Aliases }: EndpointSettings, subnets: readonly IpPrefix[]): string[] {
  const faults: string[] = [];
  const asked = [IPAMConfig?.IPv4Address, IPAMConfig?.IPv6Address].filter((address) => address !== undefined && address !== "") as string[];
  if (asked.length > 0) faults.push("user-specified IP address is supported on user-defined networks only");
  if ((Aliases ?? []).length > 0) faults.push("network-scoped aliases are only supported for user-defined networks");
  if (IPAMConfig?.IPv4Address && parseIp(IPAMConfig.IPv4Address)?.family !== 4) faults.push(`invalid IPv4 address: ${IPAMConfig.IPv4Address}`);
  if (IPAMConfig?.IPv6Address && parseIp(IPAMConfig.IPv6Address)?.family !== 6) faults.push(`invalid IPv6 address: ${IPAMConfig.IPv6Address}`);
  for (const text of asked) {
    const address = parseIp(text);
    if (address && !subnets.some((subnet) => contains(subnet, address))) faults.push(`no configured subnet contains IP address ${text}`);
  }
  return faults;
}
