/** POST /containers/prune. `dry-run` and `state`, here and at other prunes, are ours: what would go, and to remove that or nothing. */
import type { ContainersContext } from "../../engine/containers/context.ts";
import { planPrune, pruneContainers, type PruneReport } from "../../engine/containers/prune.ts";
import { parseFilters } from "../../lib/filters.ts";
import { boolQuery, sendJson } from "../route.ts";
import type { Call } from "../route.ts";

export async function handlePrune(context: ContainersContext, call: Call): Promise<void> {
  const filters = parseFilters(call.query.get("filters"));
  filters.validate(["label", "label!", "until"]);
  const selection = { filters, until: filters.until() };
  if (boolQuery(call.query, "dry-run")) {
    const plan = await planPrune(context, selection);
    return sendJson(call, 200, { ...printed(plan), State: plan.state });
  }
  sendJson(call, 200, printed(await pruneContainers(context, { ...selection, signal: call.signal, state: call.query.get("state") ?? undefined })));
}

const printed = ({ deleted, reclaimedBytes }: PruneReport): object => ({ ContainersDeleted: deleted.length === 0 ? null : deleted, SpaceReclaimed: reclaimedBytes });
