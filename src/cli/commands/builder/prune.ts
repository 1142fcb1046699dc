import { humanSize, parseRamSize } from "../../../lib/units.ts";
import { encodeFilters } from "../../flag-types.ts";
import type { Session } from "../../session.ts";
import { confirm } from "../confirm.ts";
import { pruneFilters } from "../prune-filters.ts";

export async function run(session: Session): Promise<void> {
  const { flags } = session;
  const all = flags.bool("all");
  if (!flags.bool("force")) await confirm(`WARNING! This will remove all ${all ? "" : "dangling "}build cache. Are you sure you want to continue?`);
  const { deleted, space } = await pruneBuildCache(session, { all, keep: parseRamSize(flags.string("keep-storage")) });
  if (deleted !== "") session.out.line(deleted);
  session.out.line(`Total reclaimed space: ${humanSize(space)}`);
}

export async function pruneBuildCache(session: Session, options: { all: boolean; keep?: number }): Promise<{ deleted: string; space: number }> {
  const answer = await session.client.json<{ CachesDeleted?: string[] | null; SpaceReclaimed: number }>("POST", "/build/prune", {
    query: { all: options.all || undefined, "keep-storage": options.keep || undefined, filters: encodeFilters(pruneFilters(session)) },
  });
  const ids = answer.CachesDeleted ?? [];
  return { deleted: ids.length === 0 ? "" : `Deleted build cache objects:\n${ids.join("\n")}\n`, space: answer.SpaceReclaimed };
}
