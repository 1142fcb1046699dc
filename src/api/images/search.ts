/** GET /images/search: its parameters are checked as Docker does; registries come later. */
import { invalidParameter, notImplemented } from "../../lib/errors.ts";
import { parseFilters } from "../../lib/filters.ts";
import { atoi } from "../../lib/strconv.ts";
import type { Call } from "../route.ts";

const acceptedFilters = ["is-automated", "is-official", "stars"];

export function searchImages(call: Call): never {
  const limit = limitOf(call.query.get("limit") ?? "");
  const filters = parseFilters(call.query.get("filters"));
  filters.validate(acceptedFilters);
  filters.boolean("is-official");
  for (const stars of filters.values("stars")) readStars(stars);
  if (limit > 100) throw invalidParameter(`limit ${limit} is outside the range of [1, 100]`);
  throw notImplemented(`cannot search for ${JSON.stringify(call.query.get("term") ?? "")}: searching registries is not implemented yet`);
}

function limitOf(text: string): number {
  if (text === "") return 25;
  try {
    const limit = Number(atoi(text));
    if (limit >= 0) return limit;
  } catch (cause) {
    throw invalidParameter(`invalid limit specified: ${(cause as Error).message}`, cause);
  }
  throw invalidParameter("invalid limit specified");
}

function readStars(text: string): void {
  try {
    atoi(text);
  } catch (cause) {
    throw invalidParameter(`invalid filter 'stars=${text}': ${(cause as Error).message}`, cause);
  }
}
