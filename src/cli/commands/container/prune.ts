import { encodeFilters } from "../../flag-types.ts";
import type { Session } from "../../session.ts";
import { pruneFilters } from "../prune-filters.ts";
import { type Pruned, runPrune } from "../prune-run.ts";

export interface PrunedContainers {
  ContainersDeleted: string[] | null;
  SpaceReclaimed: number;
  State?: string;
}

export async function run(session: Session): Promise<void> {
  await runPrune(session, "WARNING! This will remove all stopped containers.", (query) => pruneContainers(session, query));
}

export async function pruneContainers(session: Session, query: Record<string, string> = {}): Promise<Pruned & { space: number }> {
  const answer = await session.client.json<PrunedContainers>("POST", "/containers/prune", { query: { filters: encodeFilters(pruneFilters(session)), ...query } });
  return { deleted: containerLines(answer), space: answer.ContainersDeleted?.length ? answer.SpaceReclaimed : 0, state: answer.State };
}

export function containerLines({ ContainersDeleted }: Pick<PrunedContainers, "ContainersDeleted">): string {
  return ContainersDeleted?.length ? `Deleted Containers:\n${ContainersDeleted.join("\n")}\n` : "";
}
