/** What the engine holds of a running container's network: its sandbox with an endpoint in each network. */
import type { EndpointSettings } from "../../core/container-config.ts";
import type { EndpointState, SandboxState } from "../../core/container.ts";
import type { PublishedPort } from "../../core/network-ports.ts";
import type { JoinRequest, SandboxNamespace } from "../../core/network.ts";
import { formatIp, formatPrefix } from "../../lib/ip.ts";
import type { IpAddress, IpFamily, IpPrefix } from "../../lib/ip.ts";
import { parseMac } from "../../lib/mac.ts";
import { sysctlsFor } from "./endpoint-options.ts";
import { storedPorts } from "./port-requests.ts";
import type { NetworkPool } from "./pools.ts";
import type { Network } from "./predefined.ts";
import type { EndpointRow } from "./store.ts";

export interface Endpoint {
  network: Network;
  endpointId: string;
  settings: EndpointSettings;
  slot: number;
  interfaceName: string;
  addresses: IpPrefix[];
  /** That the network knows nothing of. */
  extraAddresses: readonly IpPrefix[];
  mac: string;
  /** Published; absent: none. */
  ports?: PublishedPort[];
  /** Which families they were reserved for. */
  portsFor?: string;
  /** Its driver, which leads outside by itself, does so for this one. */
  outside?: boolean;
  /** The connect event was sent, or a daemon before this one sent it. */
  told: boolean;
}

export interface ContainerSandbox {
  id: string;
  /** In the order of their slots. */
  endpoints: Endpoint[];
  /** Open until the container's own processes hold it. */
  namespace?: SandboxNamespace;
  /** The name service answers in it. */
  named: boolean;
  /** It has legacy links to others. */
  linked: boolean;
}

export const isShared = ({ driver }: Network): boolean => driver.capabilities.sandbox === "host";

/** One whose containers know each other by name. */
export const hasNames = ({ definition, driver }: Network): boolean => definition !== undefined && driver.capabilities.addresses;

/** The gateway that endpoints of the network use; undefined where nothing leaves it. */
export function gatewayOf({ network, addresses }: Pick<Endpoint, "network" | "addresses">, family: IpFamily): IpAddress | undefined {
  if (network.spec.internal || !addresses.some(({ address }) => address.family === family)) return undefined;
  const pool = poolOf(network, family);
  return pool?.router ?? pool?.gateway;
}

export const poolOf = ({ pools }: Network, family: IpFamily): NetworkPool | undefined => pools.find(({ subnet }) => subnet.address.family === family);

/** The endpoints that default routes go through, in Docker's order: by priority, then those with both families, then by the network's name. */
export function gatewayEndpoints(endpoints: readonly Endpoint[]): Record<IpFamily, Endpoint | undefined> {
  const both = (endpoint: Endpoint): boolean => gatewayOf(endpoint, 4) !== undefined && gatewayOf(endpoint, 6) !== undefined;
  const sorted = [...endpoints].sort(
    (one, other) => other.settings.GwPriority - one.settings.GwPriority || Number(both(other)) - Number(both(one)) || (one.network.row.name < other.network.row.name ? -1 : 1),
  );
  return { 4: sorted.find((endpoint) => gatewayOf(endpoint, 4)), 6: sorted.find((endpoint) => gatewayOf(endpoint, 6)) };
}

export const familiesThrough = (endpoint: Endpoint, chosen: Record<IpFamily, Endpoint | undefined>): IpFamily[] => ([4, 6] as const).filter((family) => chosen[family] === endpoint);

/** Those of the endpoint's gateways that default routes shall go through. */
export function routesThrough(endpoint: Endpoint, chosen: Record<IpFamily, Endpoint | undefined>): IpAddress[] {
  return ([4, 6] as const).flatMap((family) => (chosen[family] === endpoint ? (gatewayOf(endpoint, family) ?? []) : []));
}

/** What the endpoint's driver is asked to make of it in the sandbox. */
export function joinRequest({ network, endpointId, interfaceName, slot, settings, addresses, extraAddresses, ports }: Endpoint, sandbox: SandboxNamespace, { gateways, trusted }: { gateways: IpAddress[]; trusted: boolean }): JoinRequest {
  const mac = parseMac(settings.MacAddress);
  return { networkId: network.row.id, endpointId, sandbox, interfaceName, slot, addresses, extraAddresses, gateways, trusted, sysctls: sysctlsFor(settings, interfaceName), ...(mac ? { mac } : {}), ...(ports ? { ports } : {}) };
}

export function stateOf({ id, endpoints }: ContainerSandbox): SandboxState {
  const ports = storedPorts(endpoints.flatMap(({ ports: published = [] }) => published));
  return { sandboxId: id, endpoints: endpoints.map(endpointState), ...(ports.length > 0 ? { ports } : {}) };
}

function endpointState(endpoint: Endpoint): EndpointState {
  const { network, endpointId, addresses, mac } = endpoint;
  const [v4, v6] = ([4, 6] as const).map((family) => addresses.find(({ address }) => address.family === family));
  const gateway = (family: IpFamily): string => {
    const found = gatewayOf(endpoint, family);
    return found ? formatIp(found) : "";
  };
  return {
    networkName: network.row.name,
    networkId: network.row.id,
    endpointId,
    ipAddress: v4 ? formatIp(v4.address) : "",
    prefixLength: v4?.length ?? 0,
    gateway: gateway(4),
    ipv6Address: v6 ? formatIp(v6.address) : "",
    ipv6PrefixLength: v6?.length ?? 0,
    ipv6Gateway: gateway(6),
    macAddress: mac,
  };
}

export const endpointRow = (container: string, sandbox: string, { network, endpointId, addresses, ports = [], interfaceName, slot }: Endpoint): EndpointRow => ({
  container,
  network: network.row.id,
  endpoint: endpointId,
  addresses: addresses.map(formatPrefix),
  ports: storedPorts(ports),
  sandbox,
  interface: interfaceName,
  slot,
});
