import { encodeFilters } from "../../flag-types.ts";
import type { Session } from "../../session.ts";
import { pruneFilters } from "../prune-filters.ts";
import { type Pruned, runPrune } from "../prune-run.ts";

export interface PrunedVolumes {
  VolumesDeleted: string[] | null;
  SpaceReclaimed: number;
  State?: string;
}

export async function run(session: Session): Promise<void> {
  const all = session.flags.bool("all");
  if (all && pruneFilters(session)["all"]) throw new Error("conflicting options: cannot specify both --all and --filter all=1");
  await runPrune(session, `WARNING! This will remove ${all ? "all" : "anonymous"} local volumes not used by at least one container.`, (query) => pruneVolumes(session, all, query));
}

export async function pruneVolumes(session: Session, all: boolean, query: Record<string, string> = {}): Promise<Pruned & { space: number }> {
  const filters = { ...pruneFilters(session), ...(all ? { all: { true: true as const } } : {}) };
  const answer = await session.client.json<PrunedVolumes>("POST", "/volumes/prune", { query: { filters: encodeFilters(filters), ...query } });
  return { deleted: volumeLines(answer), space: answer.VolumesDeleted?.length ? answer.SpaceReclaimed : 0, state: answer.State };
}

export function volumeLines({ VolumesDeleted }: Pick<PrunedVolumes, "VolumesDeleted">): string {
  return VolumesDeleted?.length ? `Deleted Volumes:\n${VolumesDeleted.join("\n")}\n` : "";
}
