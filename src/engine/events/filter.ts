/** The filters of an `events` request. */
import type { EngineEvent } from "../../core/events.ts";
import type { Filters } from "../../lib/filters.ts";
import { familiarRepository, parseReference } from "../../lib/reference.ts";

const NAMED_TYPES = ["daemon", "container", "plugin", "volume", "network", "service", "node", "secret", "config"];

/** True when an event passes all filters of an `events` request. */
export function matches(event: EngineEvent, filters: Filters): boolean {
  if (filters.isEmpty) return true;
  return (
    matchesAction(event.action, filters) &&
    filters.exact("type", event.type) &&
    filters.exact("scope", "local") &&
    NAMED_TYPES.every((type) => filters.prefix(type, event.actor.id) || filters.prefix(type, event.actor.attributes["name"] ?? "")) &&
    matchesImage(event, filters) &&
    filters.labels("label", event.actor.attributes)
  );
}

/** Actions that say more behind a colon match by their beginning. */
function matchesAction(action: string, filters: Filters): boolean {
  const open = ["health_status", "exec_create", "exec_start"].some((name) => filters.values("event").includes(name));
  return open ? filters.prefix("event", action) : filters.exact("event", action);
}

function matchesImage({ type, actor }: EngineEvent, filters: Filters): boolean {
  if (!filters.has("image")) return true;
  const name = actor.attributes[type === "image" ? "name" : "image"] ?? "";
  return [actor.id, name, withoutTag(actor.id), withoutTag(name)].some((text) => filters.exact("image", text));
}

function withoutTag(image: string): string {
  try {
    return familiarRepository(parseReference(image));
  } catch {
    return image;
  }
}
