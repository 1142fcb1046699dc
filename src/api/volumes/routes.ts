/** /volumes. */
import type { EventSink } from "../../core/events.ts";
import { planPrune, pruneVolumes } from "../../engine/volumes/prune.ts";
import type { VolumeService } from "../../engine/volumes/service.ts";
import { codeOf, GantryError, messageOf, unavailable } from "../../lib/errors.ts";
import { type Filters, parseFilters } from "../../lib/filters.ts";
import { field, map, nullable, string, struct } from "../../lib/schema.ts";
import { atLeast, boolQuery, sendEmpty, sendJson, type Call, type Route } from "../route.ts";
import { readBody } from "../wire/body.ts";

export interface VolumeRoutesOptions {
  volumes: VolumeService;
  events: EventSink;
  warn(message: string): void;
}

const createSchema = struct("volume.CreateRequest", {
  ClusterVolumeSpec: field(nullable(struct("volume.ClusterVolumeSpec", {}))),
  Driver: field(string),
  DriverOpts: field(map(string)),
  Labels: field(map(string)),
  Name: field(string),
});

const NO_SWARM = 'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';

export function volumeRoutes({ volumes, events, warn }: VolumeRoutesOptions): Route[] {
  const create = async (call: Call): Promise<void> => {
    const { Name, Driver, Labels, DriverOpts, ClusterVolumeSpec } = await readBody(call, createSchema);
    if (ClusterVolumeSpec !== null && atLeast(call.version, 42)) throw unavailable(NO_SWARM);
    const { volume } = await volumes.create({ name: Name, driver: Driver, labels: Labels, options: DriverOpts });
    sendJson(call, 201, volume);
  };
  const list = async (call: Call): Promise<void> => {
    const { volumes: found, warnings } = await volumes.list(listFilters(call));
    sendJson(call, 200, { Volumes: found, Warnings: warnings.length > 0 ? warnings : null });
  };
  const remove = async (call: Call): Promise<void> => {
    await volumes.remove(nameOf(call), { force: boolQuery(call.query, "force") });
    sendEmpty(call, 204);
  };
  const prune = async (call: Call): Promise<void> => {
    const filters = parseFilters(call.query.get("filters"));
    const all = !atLeast(call.version, 42);
    if (boolQuery(call.query, "dry-run")) {
      const plan = await planPrune(volumes, { filters, all });
      return sendJson(call, 200, { VolumesDeleted: plan.deleted, SpaceReclaimed: plan.reclaimedBytes, State: plan.state });
    }
    const report = await pruneVolumes(volumes, { filters, all, signal: call.signal, state: call.query.get("state") ?? undefined }, { events, warn });
    sendJson(call, 200, { VolumesDeleted: report.deleted, SpaceReclaimed: report.reclaimedBytes });
  };
  return [
    { method: "GET", path: "/volumes", handler: list },
    { method: "POST", path: "/volumes/create", handler: create },
    { method: "POST", path: "/volumes/prune", since: [1, 25], handler: prune },
    { method: "GET", path: "/volumes/{name...}", handler: async (call) => sendJson(call, 200, await volumes.inspect(nameOf(call))) },
    { method: "PUT", path: "/volumes/{name...}", since: [1, 42], handler: update },
    { method: "DELETE", path: "/volumes/{name...}", handler: remove },
  ];
}

const nameOf = (call: Call): string => call.params["name"] as string;

function update(): never {
  throw unavailable("volume update only valid for cluster volumes, but swarm is unavailable");
}

function listFilters(call: Call): Filters {
  try {
    return parseFilters(call.query.get("filters"));
  } catch (error) {
    throw new GantryError(codeOf(error), `error reading volume filters: ${messageOf(error)}`, { cause: error });
  }
}
