/** GET /images/search: of Docker Hub or another registry that can be searched. */
import type { Registries } from "../../core/registry.ts";
import { invalidParameter } from "../../lib/errors.ts";
import { parseFilters } from "../../lib/filters.ts";
import { atoi } from "../../lib/strconv.ts";
import { type Call, sendJson } from "../route.ts";
import { registryAccess } from "../wire/registry-auth.ts";

const acceptedFilters = ["is-automated", "is-official", "stars"];

export async function searchImages(registries: Registries, call: Call): Promise<void> {
  const limit = limitOf(call.query.get("limit") ?? "");
  const filters = parseFilters(call.query.get("filters"));
  filters.validate(acceptedFilters);
  const isAutomated = filters.boolean("is-automated");
  const isOfficial = filters.boolean("is-official");
  const stars = Math.max(0, ...[...filters.values("stars")].map(readStars));
  if (limit > 100) throw invalidParameter(`limit ${limit} is outside the range of [1, 100]`);
  /* Registries do not know automated builds any more. */
  if (isAutomated === true) return sendJson(call, 200, []);
  const { credentials, headers } = registryAccess(call);
  const found = await registries.search({ term: call.query.get("term") ?? "", limit: limit === 0 ? usualLimit : limit, credentials, ...(headers ? { headers } : {}) }, { signal: call.signal });
  const wanted = found.filter((result) => (isOfficial === undefined || result.isOfficial === isOfficial) && result.starCount >= stars);
  sendJson(call, 200, wanted.map((result) => ({ star_count: result.starCount, is_official: result.isOfficial, name: result.name, is_automated: false, description: result.description })));
}

const usualLimit = 25;

function limitOf(text: string): number {
  if (text === "") return usualLimit;
  try {
    const limit = Number(atoi(text));
    if (limit >= 0) return limit;
  } catch (cause) {
    throw invalidParameter(`invalid limit specified: ${(cause as Error).message}`, cause);
  }
  throw invalidParameter("invalid limit specified");
}

function readStars(text: string): number {
  try {
    return Number(atoi(text));
  } catch (cause) {
    throw invalidParameter(`invalid filter 'stars=${text}': ${(cause as Error).message}`, cause);
  }
}
