/** What clients do with networks. Only the predefined ones exist so far: making others and connecting to them by hand is refused by name. */
import { GantryError, invalidParameter, notFound, notImplemented, systemError } from "../../lib/errors.ts";
import type { Filters } from "../../lib/filters.ts";
import type { NetworkView, Networks } from "./networks.ts";

const LIST_FILTERS = ["dangling", "driver", "id", "label", "name", "scope", "type"];
const PRUNE_FILTERS = ["label", "label!", "until"];
const RESERVED = ["bridge", "default", "host", "none"];

const NO_MANAGER = 'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';

const forbidden = (message: string): GantryError => new GantryError("forbidden", message);

export function listNetworks(networks: Networks, filters: Filters): NetworkView[] {
  filters.validate(LIST_FILTERS);
  const types = filters.values("type");
  const unknown = types.find((type) => type !== "custom" && type !== "builtin");
  if (unknown !== undefined) throw systemError(`invalid filter: 'type'='${unknown}'`);
  const dangling = danglingFilter(filters);
  return networks.list().filter(
    (network) =>
      (types.length === 0 || types.includes("builtin")) &&
      dangling !== true &&
      filters.exact("driver", network.driver) &&
      filters.exact("scope", network.scope) &&
      filters.labels("label", {}) &&
      matches(filters, "name", network.name) &&
      matches(filters, "id", network.id),
  );
}

/** A part of the text is enough. */
function matches(filters: Filters, key: string, text: string): boolean {
  const values = filters.values(key);
  return values.length === 0 || values.some((value) => text.includes(value));
}

function danglingFilter(filters: Filters): boolean | undefined {
  try {
    return filters.boolean("dangling");
  } catch {
    throw invalidParameter(`invalid value for filter 'dangling', must be "true" (or "1"), or "false" (or "0")`);
  }
}

export function inspectNetwork(networks: Networks, ref: string, scope: string): NetworkView {
  const network = networks.find(ref);
  if (scope !== "" && scope !== network.scope) throw notFound(`network ${ref} not found`);
  return network;
}

export interface NetworkCreation {
  name: string;
  driver: string;
  scope: string;
  ingress: boolean;
}

export function createNetwork({ name, driver, scope, ingress }: NetworkCreation): never {
  if (name.trim() === "") throw invalidParameter("invalid name: name is empty");
  if (RESERVED.includes(name)) throw forbidden(`operation is not permitted on predefined ${name} network `);
  if (driver === "overlay") throw forbidden(NO_MANAGER);
  if (ingress) throw forbidden("Ingress network can only be global scope network");
  if (scope === "swarm") throw forbidden("cannot create a swarm scoped network when swarm is not active");
  throw notImplemented(`user-defined networks are not implemented yet: network ${JSON.stringify(name)} cannot be created; bridge, host, none and container:ID are there`);
}

export function removeNetwork(networks: Networks, ref: string): never {
  throw forbidden(`${networks.find(ref).name} is a pre-defined network and cannot be removed`);
}

export function changeConnection(networks: Networks, ref: string, action: "connect" | "disconnect"): never {
  const { name } = networks.find(ref);
  const what = action === "connect" ? `connecting a container to network ${name}` : `disconnecting a container from network ${name}`;
  throw notImplemented(`${what} after its creation is not implemented yet: choose its network at create`);
}

/** Predefined networks are never pruned, so there is nothing to remove. */
export function pruneNetworks(filters: Filters): string[] {
  filters.validate(PRUNE_FILTERS);
  return [];
}
