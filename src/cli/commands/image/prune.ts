import { encodeFilters } from "../../flag-types.ts";
import type { Session } from "../../session.ts";
import { pruneFilters } from "../prune-filters.ts";
import { type Pruned, runPrune } from "../prune-run.ts";

export interface PrunedImages {
  ImagesDeleted: { Untagged?: string; Deleted?: string }[] | null;
  SpaceReclaimed: number;
  State?: string;
}

export async function run(session: Session): Promise<void> {
  const all = session.flags.bool("all");
  await runPrune(session, `WARNING! This will remove all ${all ? "images without at least one container associated to them" : "dangling images"}.`, (query) => pruneImages(session, all, query));
}

export async function pruneImages(session: Session, all: boolean, query: Record<string, string> = {}): Promise<Pruned & { space: number }> {
  const filters = { ...pruneFilters(session), dangling: { [String(!all)]: true as const } };
  const answer = await session.client.json<PrunedImages>("POST", "/images/prune", { query: { filters: encodeFilters(filters), ...query } });
  return { deleted: imageLines(answer), space: answer.SpaceReclaimed, state: answer.State };
}

export function imageLines({ ImagesDeleted }: Pick<PrunedImages, "ImagesDeleted">): string {
  if (!ImagesDeleted?.length) return "";
  return `Deleted Images:\n${ImagesDeleted.map(({ Untagged, Deleted }) => (Untagged ? `untagged: ${Untagged}` : `deleted: ${Deleted}`)).join("\n")}\n`;
}
