import { filterQuery } from "../flag-types.ts";
import type { Session } from "../session.ts";

/** --filter of a prune with the configuration's pruneFilters; a filter and its opposite from the command line win. */
export function pruneFilters(session: Session): Record<string, Record<string, true>> {
  const filters = filterQuery(session.flags.list("filter"));
  const configured = session.config.data["pruneFilters"];
  for (const entry of Array.isArray(configured) ? configured.map(String) : []) {
    const equals = entry.indexOf("=");
    if (equals <= 0) continue;
    const [name, value] = [entry.slice(0, equals), entry.slice(equals + 1)];
    const opposite = name === "label" ? "label!" : name === "label!" ? "label" : undefined;
    if (opposite !== undefined && filters[opposite]?.[value]) continue;
    (filters[name] ??= {})[value] = true;
  }
  return filters;
}
