/** POST /containers/prune */
import type { ContainersContext } from "../../engine/containers/context.ts";
import { pruneContainers } from "../../engine/containers/prune.ts";
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import { parseFilters } from "../../lib/filters.ts";
import { parseTimeOrDuration } from "../../lib/time-or-duration.ts";
import { sendJson } from "../route.ts";
import type { Call } from "../route.ts";

export async function handlePrune(context: ContainersContext, call: Call): Promise<void> {
  const filters = parseFilters(call.query.get("filters"));
  filters.validate(["label", "label!", "until"]);
  const [until, second] = filters.values("until");
  if (second !== undefined) throw invalidParameter("more than one until filter specified");
  const report = await pruneContainers(context, { filters, until: until === undefined ? undefined : pointInTime(until), signal: call.signal });
  sendJson(call, 200, { ContainersDeleted: report.deleted.length === 0 ? null : report.deleted, SpaceReclaimed: report.reclaimedBytes });
}

function pointInTime(text: string): bigint {
  try {
    return parseTimeOrDuration(text);
  } catch (error) {
    throw invalidParameter(messageOf(error), error);
  }
}
