/** POST /system/prune, which is ours: everything that nothing uses, as a dry run, or exactly what a dry run said. */
import type { SystemPrune, SystemPruneReport, SystemPruneRequest } from "../../engine/system/prune.ts";
import { invalidParameter } from "../../lib/errors.ts";
import { parseFilters } from "../../lib/filters.ts";
import { boolQuery, sendJson, type Call, type Route } from "../route.ts";

export function systemPruneRoute(service: SystemPrune): Route {
  return { method: "POST", path: "/system/prune", handler: (call) => prune(service, call) };
}

async function prune(service: SystemPrune, call: Call): Promise<void> {
  const filters = parseFilters(call.query.get("filters"));
  filters.validate(["label", "label!", "until"]);
  const request: SystemPruneRequest = { filters, until: filters.until(), all: boolQuery(call.query, "all"), volumes: boolQuery(call.query, "volumes") };
  if (boolQuery(call.query, "dry-run")) {
    const plan = await service.plan(request);
    return sendJson(call, 200, { ...printed(plan), State: plan.state });
  }
  const state = call.query.get("state");
  if (state === null) throw invalidParameter("a prune of everything needs dry-run, or the state that a dry run has answered");
  sendJson(call, 200, printed(await service.prune(request, { state, signal: call.signal })));
}

const printed = ({ containers, networks, volumes, images, reclaimedBytes }: SystemPruneReport): object => ({
  ContainersDeleted: containers,
  NetworksDeleted: networks,
  VolumesDeleted: volumes,
  ImagesDeleted: images,
  SpaceReclaimed: reclaimedBytes,
});
