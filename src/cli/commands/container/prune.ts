import { encodeFilters } from "../../flag-types.ts";
import { humanSize } from "../../../lib/units.ts";
import type { Session } from "../../session.ts";
import { confirm } from "../confirm.ts";
import { pruneFilters } from "../prune-filters.ts";

export async function run(session: Session): Promise<void> {
  const { flags } = session;
  if (!flags.bool("force")) confirm("WARNING! This will remove all stopped containers.\nAre you sure you want to continue?");
  const { deleted, space } = await pruneContainers(session);
  if (deleted !== "") session.out.line(deleted);
  session.out.line(`Total reclaimed space: ${humanSize(space)}`);
}

export async function pruneContainers(session: Session): Promise<{ deleted: string; space: number }> {
  const answer = await session.client.json<{ ContainersDeleted: string[] | null; SpaceReclaimed: number }>("POST", "/containers/prune", { query: { filters: encodeFilters(pruneFilters(session)) } });
  const ids = answer.ContainersDeleted ?? [];
  return { deleted: ids.length === 0 ? "" : `Deleted Containers:\n${ids.join("\n")}\n`, space: ids.length === 0 ? 0 : answer.SpaceReclaimed };
}
