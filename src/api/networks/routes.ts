/** /networks: making, showing and removing them, and containers' places in them. */
import { endpointSettingsSchema } from "../../core/container-config.ts";
import { connectContainer, disconnectContainer, moveNetwork } from "../../engine/networks/container-operations.ts";
import type { ConnectionContext } from "../../engine/networks/container-operations.ts";
import { inspectNetwork, listNetworks, planPrune, pruneNetworks } from "../../engine/networks/operations.ts";
import type { IpamEntry, NetworkCreation } from "../../engine/networks/definition.ts";
import type { NetworkView } from "../../engine/networks/networks.ts";
import type { EventSink } from "../../core/events.ts";
import { parseAddress, parsePrefixText } from "../../lib/address.ts";
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import { parseFilters } from "../../lib/filters.ts";
import { formatPrefix } from "../../lib/ip.ts";
import { bool, field, list, map, nullable, string, struct, text, zero } from "../../lib/schema.ts";
import type { Infer } from "../../lib/schema.ts";
import { parseBool } from "../../lib/strconv.ts";
import { atLeast, boolQuery, sendEmpty, sendJson, type Call, type Route } from "../route.ts";
import { readBody } from "../wire/body.ts";

export interface NetworkRoutesOptions extends ConnectionContext {
  events: EventSink;
}

const prefix = text("netip.Prefix", parsePrefixText);
const address = text("netip.Addr", parseAddress);
const ipamConfig = struct("network.IPAMConfig", { Subnet: field(prefix), IPRange: field(prefix), Gateway: field(address), AuxiliaryAddresses: field(map(address)) });
const ipam = struct("network.IPAM", { Driver: field(string), Options: field(map(string)), Config: field(list(ipamConfig)) });
const createSchema = struct("network.CreateRequest", {
  Name: field(string),
  Driver: field(string),
  Scope: field(string),
  EnableIPv4: field(nullable(bool)),
  EnableIPv6: field(nullable(bool)),
  IPAM: field(nullable(ipam)),
  Internal: field(bool),
  Attachable: field(bool),
  Ingress: field(bool),
  ConfigOnly: field(bool),
  ConfigFrom: field(nullable(struct("network.ConfigReference", { Network: field(string) }))),
  Options: field(map(string)),
  Labels: field(map(string)),
});
const connectSchema = struct("networkbackend.ConnectRequest", { Container: field(string), EndpointConfig: field(nullable(endpointSettingsSchema)) });
/** Gantry's own. */
const moveSchema = struct("network.MoveRequest", { Config: field(list(ipamConfig)) });
const disconnectSchema = struct("networkbackend.DisconnectRequest", { Container: field(string), Force: field(bool) });

export function networkRoutes(options: NetworkRoutesOptions): Route[] {
  const { networks } = options;
  const containerName = (id: string): string => options.store.get(id)?.name ?? "";
  const handleList = (call: Call): void => {
    const found = listNetworks(networks, parseFilters(call.query.get("filters")));
    sendJson(call, 200, found.map((network) => networkJson(network, atLeast(call.version, 28) ? undefined : containerName)));
  };
  const handleInspect = async (call: Call): Promise<void> => {
    const verbose = call.query.get("verbose") ?? "";
    if (verbose !== "") checkBool("verbose", verbose);
    const network = inspectNetwork(networks, call.params["id"] as string, call.query.get("scope") ?? "");
    const status = atLeast(call.version, 52) ? { Status: statusJson(await networks.usage(network.id)) } : {};
    sendJson(call, 200, { ...networkJson(network, containerName), ...status });
  };
  const handleCreate = async (call: Call): Promise<void> => {
    const creation = creationOf(await readBody(call, createSchema));
    if (!atLeast(call.version, 48)) creation.ipv4 = undefined;
    const { id } = await networks.create(creation);
    sendJson(call, 201, { Id: id, Warning: "" });
  };
  const handleConnect = async (call: Call): Promise<void> => {
    const { Container, EndpointConfig } = await readBody(call, connectSchema);
    await connectContainer(options, { network: call.params["id"] as string, container: Container, settings: EndpointConfig ?? zero(endpointSettingsSchema) });
    sendEmpty(call, 200);
  };
  const handleDisconnect = async (call: Call): Promise<void> => {
    const { Container, Force } = await readBody(call, disconnectSchema);
    await disconnectContainer(options, { network: call.params["id"] as string, container: Container, force: Force });
    sendEmpty(call, 200);
  };
  const handleMove = async (call: Call): Promise<void> => {
    const { Config } = await readBody(call, moveSchema);
    await moveNetwork(options, { network: call.params["id"] as string, subnets: entriesOf(Config) });
    sendEmpty(call, 200);
  };
  const handleRemove = async (call: Call): Promise<void> => {
    await networks.remove(call.params["id"] as string);
    sendEmpty(call, 204);
  };
  const handlePrune = async (call: Call): Promise<void> => {
    const filters = parseFilters(call.query.get("filters"));
    if (boolQuery(call.query, "dry-run")) {
      const { names, state } = planPrune(networks, filters);
      return sendJson(call, 200, { NetworksDeleted: names.length > 0 ? names : null, State: state });
    }
    const removed = await pruneNetworks(networks, filters, call.query.get("state") ?? undefined);
    options.events.emit({ type: "network", action: "prune", actor: { id: "", attributes: { reclaimed: "0" } } });
    sendJson(call, 200, { NetworksDeleted: removed.length > 0 ? removed : null });
  };
  return [
    { method: "GET", path: "/networks", handler: handleList },
    { method: "GET", path: "/networks/", handler: handleList },
    { method: "GET", path: "/networks/{id}", handler: handleInspect },
    { method: "DELETE", path: "/networks/{id}", handler: handleRemove },
    { method: "POST", path: "/networks/create", handler: handleCreate },
    { method: "POST", path: "/networks/{id}/connect", handler: handleConnect },
    { method: "POST", path: "/networks/{id}/disconnect", handler: handleDisconnect },
    { method: "POST", path: "/gantry/networks/{id}/move", handler: handleMove },
    { method: "POST", path: "/networks/prune", since: [1, 25], handler: handlePrune },
  ];
}

function creationOf(body: Infer<typeof createSchema>): NetworkCreation {
  return {
    name: body.Name,
    driver: body.Driver,
    scope: body.Scope,
    internal: body.Internal,
    attachable: body.Attachable,
    ingress: body.Ingress,
    ipv4: body.EnableIPv4 ?? undefined,
    ipv6: body.EnableIPv6 ?? undefined,
    ipam: body.IPAM ? { driver: body.IPAM.Driver, options: body.IPAM.Options, config: entriesOf(body.IPAM.Config) } : undefined,
    options: body.Options ?? {},
    labels: body.Labels ?? {},
    configFrom: body.ConfigFrom?.Network ?? "",
    configOnly: body.ConfigOnly,
  };
}

const entriesOf = (config: Infer<typeof ipamConfig>[] | null): IpamEntry[] => (config ?? []).map(({ Subnet, IPRange, Gateway, AuxiliaryAddresses }) => ({ subnet: Subnet, range: IPRange, gateway: Gateway, aux: AuxiliaryAddresses }));

function checkBool(name: string, value: string): void {
  try {
    parseBool(value);
  } catch (error) {
    throw invalidParameter(`invalid value for ${name}: ${value}: ${messageOf(error)}`);
  }
}

/** `containerName` present: with the containers in it, as inspect has. */
function networkJson(network: NetworkView, containerName: ((id: string) => string) | undefined): Record<string, unknown> {
  const config = network.ipam.config.map(({ subnet, range, gateway, aux }) => ({
    Subnet: subnet,
    ...(range === "" ? {} : { IPRange: range }),
    ...(gateway === "" ? {} : { Gateway: gateway }),
    ...(aux && Object.keys(aux).length > 0 ? { AuxiliaryAddresses: aux } : {}),
  }));
  return {
    Name: network.name,
    Id: network.id,
    Created: network.created,
    Scope: network.scope,
    Driver: network.driver,
    EnableIPv4: network.ipv4,
    EnableIPv6: network.ipv6,
    IPAM: { Driver: network.ipam.driver, Options: network.ipam.options, Config: config.length > 0 ? config : null },
    Internal: network.internal,
    Attachable: network.attachable,
    Ingress: false,
    ConfigFrom: { Network: network.configFrom },
    ConfigOnly: network.configOnly,
    Options: network.options,
    Labels: network.labels,
    ...(containerName && network.furtherBridges.length > 0 ? { FurtherBridges: network.furtherBridges } : {}),
    ...(containerName ? { Containers: Object.fromEntries(network.endpoints.map((endpoint) => [endpoint.container, endpointJson(endpoint, containerName(endpoint.container))])) } : {}),
  };
}

declare global {
  interface JSON {
    rawJSON(text: string): unknown;
  }
}

const MAX_UINT64 = 2n ** 64n - 1n;
/** Exact also where a double is not. */
const uint64 = (value: bigint): unknown => JSON.rawJSON(String(value > MAX_UINT64 ? MAX_UINT64 : value));

function statusJson(usage: Awaited<ReturnType<NetworkRoutesOptions["networks"]["usage"]>>): Record<string, unknown> {
  const subnets = Object.entries(usage).map(([subnet, { used, available }]) => [subnet, { IPsInUse: uint64(used), DynamicIPsAvailable: uint64(available) }]);
  return { IPAM: subnets.length > 0 ? { Subnets: Object.fromEntries(subnets) } : {} };
}

function endpointJson({ endpoint, mac, addresses }: NetworkView["endpoints"][number], name: string): Record<string, string> {
  const [v4, v6] = ([4, 6] as const).map((family) => addresses.find(({ address }) => address.family === family));
  return { Name: name, EndpointID: endpoint, MacAddress: mac, IPv4Address: v4 ? formatPrefix(v4) : "", IPv6Address: v6 ? formatPrefix(v6) : "" };
}
