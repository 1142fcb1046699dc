import { humanSize } from "../../../lib/units.ts";
import { encodeFilters } from "../../flag-types.ts";
import type { Session } from "../../session.ts";
import { confirm } from "../confirm.ts";
import { pruneFilters } from "../prune-filters.ts";

export async function run(session: Session): Promise<void> {
  const all = session.flags.bool("all");
  if (all && pruneFilters(session)["all"]) throw new Error("conflicting options: cannot specify both --all and --filter all=1");
  if (!session.flags.bool("force")) confirm(`WARNING! This will remove ${all ? "all" : "anonymous"} local volumes not used by at least one container.\nAre you sure you want to continue?`);
  const { deleted, space } = await pruneVolumes(session, all);
  if (deleted !== "") session.out.line(deleted);
  session.out.line(`Total reclaimed space: ${humanSize(space)}`);
}

export async function pruneVolumes(session: Session, all: boolean): Promise<{ deleted: string; space: number }> {
  const filters = { ...pruneFilters(session), ...(all ? { all: { true: true as const } } : {}) };
  const answer = await session.client.json<{ VolumesDeleted: string[] | null; SpaceReclaimed: number }>("POST", "/volumes/prune", { query: { filters: encodeFilters(filters) } });
  const names = answer.VolumesDeleted ?? [];
  return { deleted: names.length === 0 ? "" : `Deleted Volumes:\n${names.join("\n")}\n`, space: names.length === 0 ? 0 : answer.SpaceReclaimed };
}
