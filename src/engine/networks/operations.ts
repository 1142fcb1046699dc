/** What clients ask of networks as a whole. */
import type { Digest } from "../../lib/digest.ts";
import { invalidParameter, notFound, systemError } from "../../lib/errors.ts";
import type { Filters } from "../../lib/filters.ts";
import { requireState, stateOf } from "../prune-state.ts";
import type { NetworkView, Networks } from "./networks.ts";

const LIST_FILTERS = ["dangling", "driver", "id", "label", "name", "scope", "type"];
const PRUNE_FILTERS = ["label", "label!", "until"];

export function listNetworks(networks: Networks, filters: Filters): NetworkView[] {
  filters.validate(LIST_FILTERS);
  const types = filters.values("type");
  const unknown = types.find((type) => type !== "custom" && type !== "builtin");
  if (unknown !== undefined) throw systemError(`invalid filter: 'type'='${unknown}'`);
  const dangling = danglingFilter(filters);
  return networks.list().filter(
    (network) =>
      (types.length === 0 || types.includes(network.predefined ? "builtin" : "custom")) &&
      (dangling === undefined || dangling === isDangling(network)) &&
      filters.exact("driver", network.driver) &&
      filters.exact("scope", network.scope) &&
      filters.labels("label", network.labels) &&
      filters.matches("name", network.name) &&
      filters.matches("id", network.id),
  );
}

const isDangling = ({ predefined, endpoints }: NetworkView): boolean => !predefined && endpoints.length === 0;

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

/** What a prune would remove now. */
export function planPrune(networks: Networks, filters: Filters): { names: string[]; state: Digest } {
  const found = unused(networks, filters);
  return { names: found.map(({ name }) => name), state: stateOf(found.map(({ id }) => id)) };
}

function unused(networks: Networks, filters: Filters): NetworkView[] {
  filters.validate(PRUNE_FILTERS);
  const until = filters.until();
  return networks.list().filter((network) => {
    const excepted = filters.values("label!").length > 0 && filters.labels("label!", network.labels);
    if (!isDangling(network) || network.configOnly || excepted || !filters.labels("label", network.labels)) return false;
    return until === undefined || BigInt(Date.parse(network.created)) * 1_000_000n <= until;
  });
}

/** Removes those that nobody uses, and names them. `state`: of a dry run; "conflict" when it would be another one now. */
export async function pruneNetworks(networks: Networks, filters: Filters, state?: string): Promise<string[]> {
  requireState(state, planPrune(networks, filters).state, "networks");
  const removed: string[] = [];
  for (const network of unused(networks, filters)) {
    // Somebody may have begun to use it.
    const done = await networks.remove(network.id).catch(() => undefined);
    if (done) removed.push(network.name);
  }
  return removed;
}
