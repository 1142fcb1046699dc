/** The build cache: there are no builds yet, so it is empty, and pruning it (as `system prune` does) finds nothing. */
import type { EventSink } from "../../core/events.ts";
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import { parseFilters } from "../../lib/filters.ts";
import { atoi } from "../../lib/strconv.ts";
import { atLeast, sendEmpty, sendJson, type Call, type Route } from "../route.ts";
import { sessionRoute } from "./session.ts";

const FILTERS = ["id", "label", "label!", "mutable", "parent", "private", "shared", "type", "until", "unused-for", "inuse", "immutable", "description"];

export function buildRoutes(events: EventSink): Route[] {
  return [
    { method: "POST", path: "/build/prune", since: [1, 31], handler: (call) => prune(call, events) },
    { method: "POST", path: "/build/cancel", handler: cancel },
    sessionRoute,
  ];
}

function prune(call: Call, events: EventSink): void {
  const filters = parseFilters(call.query.get("filters"));
  try {
    filters.validate(FILTERS);
  } catch (cause) {
    throw invalidParameter(`failed to prune build cache: ${messageOf(cause)}`, cause);
  }
  const sizes = atLeast(call.version, 48) ? ["reserved-space", "keep-storage", "max-used-space", "min-free-space"] : ["keep-storage"];
  for (const name of sizes) checkBytes(name, call.query.get(name) ?? "");
  events.emit({ type: "builder", action: "prune", actor: { id: "", attributes: { reclaimed: "0" } } });
  sendJson(call, 200, { CachesDeleted: null, SpaceReclaimed: 0 });
}

function checkBytes(name: string, text: string): void {
  if (text === "") return;
  try {
    atoi(text);
  } catch (cause) {
    throw invalidParameter(`${name} is in bytes and expects an integer, got ${text}: ${messageOf(cause)}`, cause);
  }
}

/** A build that does not run needs no cancelling. */
function cancel(call: Call): void {
  if ((call.query.get("id") ?? "") === "") throw invalidParameter("build ID not provided");
  sendEmpty(call, 200);
}
