/** GET /containers/json */
import type { ContainerLists } from "../../engine/containers/list.ts";
import { parseFilters } from "../../lib/filters.ts";
import { atoi } from "../numbers.ts";
import { boolQuery, sendJsonText } from "../route.ts";
import type { Call } from "../route.ts";

export async function handleList(lists: ContainerLists, call: Call): Promise<void> {
  const { query } = call;
  const filters = parseFilters(query.get("filters"));
  const limit = query.get("limit") ?? "";
  const options = { all: boolQuery(query, "all"), size: boolQuery(query, "size"), limit: limit === "" ? 0 : atoi(limit), filters, version: call.version[1] };
  sendJsonText(call, 200, await lists.list(options));
}
