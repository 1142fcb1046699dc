import { humanSize } from "../../../lib/units.ts";
import { encodeFilters } from "../../flag-types.ts";
import type { Session } from "../../session.ts";
import { confirm } from "../confirm.ts";
import { pruneFilters } from "../prune-filters.ts";

export async function run(session: Session): Promise<void> {
  const all = session.flags.bool("all");
  const what = all ? "images without at least one container associated to them" : "dangling images";
  if (!session.flags.bool("force")) confirm(`WARNING! This will remove all ${what}.\nAre you sure you want to continue?`);
  const { deleted, space } = await pruneImages(session, all);
  if (deleted !== "") session.out.line(deleted);
  session.out.line(`Total reclaimed space: ${humanSize(space)}`);
}

export async function pruneImages(session: Session, all: boolean): Promise<{ deleted: string; space: number }> {
  const filters = { ...pruneFilters(session), dangling: { [String(!all)]: true as const } };
  const answer = await session.client.json<{ ImagesDeleted: { Untagged?: string; Deleted?: string }[] | null; SpaceReclaimed: number }>("POST", "/images/prune", { query: { filters: encodeFilters(filters) } });
  const lines = (answer.ImagesDeleted ?? []).map(({ Untagged, Deleted }) => (Untagged ? `untagged: ${Untagged}` : `deleted: ${Deleted}`));
  return { deleted: lines.length === 0 ? "" : `Deleted Images:\n${lines.join("\n")}\n`, space: answer.SpaceReclaimed };
}
