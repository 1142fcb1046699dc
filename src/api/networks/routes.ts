/** /networks: list and inspect; what changes networks is refused until they can be made. */
import { changeConnection, createNetwork, inspectNetwork, listNetworks, pruneNetworks, removeNetwork } from "../../engine/networks/operations.ts";
import type { NetworkView, Networks } from "../../engine/networks/networks.ts";
import type { ContainerRecord } from "../../core/container.ts";
import type { EventSink } from "../../core/events.ts";
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import { parseFilters } from "../../lib/filters.ts";
import { bool, field, string, struct } from "../../lib/schema.ts";
import { parseBool } from "../../lib/strconv.ts";
import { atLeast, sendJson, type Call, type Route } from "../route.ts";
import { readBody } from "../wire/body.ts";

export interface NetworkRoutesOptions {
  networks: Networks;
  container: (id: string) => ContainerRecord | undefined;
  events: EventSink;
}

const createSchema = struct("network.CreateRequest", { Name: field(string), Driver: field(string), Scope: field(string), Ingress: field(bool) });
const connectionSchema = struct("network.ConnectRequest", { Container: field(string), Force: field(bool) });

export function networkRoutes({ networks, container, events }: NetworkRoutesOptions): Route[] {
  const list = (call: Call): void => {
    const found = listNetworks(networks, parseFilters(call.query.get("filters")));
    sendJson(call, 200, found.map((network) => networkJson(network, atLeast(call.version, 28) ? undefined : container)));
  };
  const change = (action: "connect" | "disconnect") => async (call: Call) => {
    const body = await readBody(call, connectionSchema);
    if (body.Container === "") throw invalidParameter(`invalid name or ID supplied: ""`);
    changeConnection(networks, call.params["id"] as string, action);
  };
  return [
    { method: "GET", path: "/networks", handler: list },
    { method: "GET", path: "/networks/{id}", handler: (call) => handleInspect(networks, container, call) },
    { method: "DELETE", path: "/networks/{id}", handler: (call) => removeNetwork(networks, call.params["id"] as string) },
    { method: "POST", path: "/networks/create", handler: handleCreate },
    { method: "POST", path: "/networks/{id}/connect", handler: change("connect") },
    { method: "POST", path: "/networks/{id}/disconnect", handler: change("disconnect") },
    { method: "POST", path: "/networks/prune", since: [1, 25], handler: (call) => prune(call, events) },
  ];
}

async function handleCreate(call: Call): Promise<void> {
  const { Name, Driver, Scope, Ingress } = await readBody(call, createSchema);
  createNetwork({ name: Name, driver: Driver, scope: Scope, ingress: Ingress });
}

function handleInspect(networks: Networks, container: NetworkRoutesOptions["container"], call: Call): void {
  const verbose = call.query.get("verbose") ?? "";
  if (verbose !== "") checkBool("verbose", verbose);
  const network = inspectNetwork(networks, call.params["id"] as string, call.query.get("scope") ?? "");
  sendJson(call, 200, networkJson(network, container));
}

function checkBool(name: string, text: string): void {
  try {
    parseBool(text);
  } catch (error) {
    throw invalidParameter(`invalid value for ${name}: ${text}: ${messageOf(error)}`);
  }
}

function prune(call: Call, events: EventSink): void {
  const removed = pruneNetworks(parseFilters(call.query.get("filters")));
  events.emit({ type: "network", action: "prune", actor: { id: "", attributes: { reclaimed: "0" } } });
  sendJson(call, 200, { NetworksDeleted: removed.length > 0 ? removed : null });
}

/** `container` present: with the containers in it, as inspect has. */
function networkJson(network: NetworkView, container: NetworkRoutesOptions["container"] | undefined): Record<string, unknown> {
  const { pool } = network;
  return {
    Name: network.name,
    Id: network.id,
    Created: network.created,
    Scope: network.scope,
    Driver: network.driver,
    EnableIPv4: true,
    EnableIPv6: false,
    IPAM: { Driver: "default", Options: null, Config: pool ? [{ Subnet: pool.subnet, ...(pool.range ? { IPRange: pool.range } : {}), Gateway: pool.gateway }] : null },
    Internal: false,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Options: network.options,
    Labels: {},
    ...(container ? { Containers: Object.fromEntries(network.endpoints.map((endpoint) => [endpoint.container, endpointJson(endpoint, container(endpoint.container))])) } : {}),
  };
}

function endpointJson(endpoint: NetworkView["endpoints"][number], record: ContainerRecord | undefined): Record<string, string> {
  return {
    Name: record?.name ?? "",
    EndpointID: endpoint.endpoint,
    MacAddress: endpoint.mac || (record?.network?.macAddress ?? ""),
    IPv4Address: endpoint.address,
    IPv6Address: "",
  };
}
