/** A container's networks as inspect and list show them. */
import { endpointSettingsSchema } from "../../../core/container-config.ts";
import type { EndpointSettings } from "../../../core/container-config.ts";
import type { ContainerRecord } from "../../../core/container.ts";
import { print, zero } from "../../../lib/schema.ts";
import { dnsNames } from "../../networks/sandbox-names.ts";
import { containerOf, isUserDefined } from "../modes.ts";
import { timesOf } from "./state.ts";

/** By network name. What the container was asked to join, with what its endpoint has while it runs; `idOf` tells the id of a network, which shows from the first start on. */
export function networksOf(record: ContainerRecord, idOf: (network: string) => string | undefined): Record<string, EndpointSettings> {
  const { NetworkMode: mode } = record.hostConfig;
  if (record.config.NetworkDisabled || containerOf(mode) !== undefined) return {};
  const result: Record<string, EndpointSettings> = {};
  for (const [name, endpoint] of Object.entries(record.networkingConfig.EndpointsConfig ?? { [mode]: null })) result[name] = { ...(endpoint ?? zero(endpointSettingsSchema)) };
  for (const [name, endpoint] of Object.entries(result)) {
    if (timesOf(record).startedAt !== 0n) endpoint.NetworkID = idOf(name) ?? "";
    if (isUserDefined(name) && (timesOf(record).startedAt !== 0n || endpoint.DNSNames)) endpoint.DNSNames = dnsNames(record, endpoint.Aliases);
  }
  for (const live of record.network?.endpoints ?? []) {
    const endpoint = (result[live.networkName] ??= zero(endpointSettingsSchema));
    endpoint.NetworkID = live.networkId;
    endpoint.EndpointID = live.endpointId;
    endpoint.Gateway = live.gateway;
    endpoint.IPAddress = live.ipAddress;
    endpoint.IPPrefixLen = live.prefixLength;
    endpoint.IPv6Gateway = live.ipv6Gateway;
    endpoint.GlobalIPv6Address = live.ipv6Address;
    endpoint.GlobalIPv6PrefixLen = live.ipv6PrefixLength;
    endpoint.MacAddress = live.macAddress;
  }
  return result;
}

export function printNetworks(networks: Record<string, EndpointSettings>): string {
  const entries = Object.keys(networks).sort();
  return `{${entries.map((name) => `${JSON.stringify(name)}:${print(endpointSettingsSchema, networks[name]!)}`).join(",")}}`;
}
