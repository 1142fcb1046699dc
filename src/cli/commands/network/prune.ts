import { encodeFilters } from "../../flag-types.ts";
import type { Session } from "../../session.ts";
import { confirm } from "../confirm.ts";
import { pruneFilters } from "../prune-filters.ts";

export async function run(session: Session): Promise<void> {
  if (!session.flags.bool("force")) confirm("WARNING! This will remove all custom networks not used by at least one container.\nAre you sure you want to continue?");
  const deleted = await pruneNetworks(session);
  if (deleted !== "") session.out.line(deleted);
}

export async function pruneNetworks(session: Session): Promise<string> {
  const answer = await session.client.json<{ NetworksDeleted: string[] | null }>("POST", "/networks/prune", { query: { filters: encodeFilters(pruneFilters(session)) } });
  const names = answer.NetworksDeleted ?? [];
  return names.length === 0 ? "" : `Deleted Networks:\n${names.join("\n")}\n`;
}
