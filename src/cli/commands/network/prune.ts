import { encodeFilters } from "../../flag-types.ts";
import type { Session } from "../../session.ts";
import { pruneFilters } from "../prune-filters.ts";
import { type Pruned, runPrune } from "../prune-run.ts";

export interface PrunedNetworks {
  NetworksDeleted: string[] | null;
  State?: string;
}

export async function run(session: Session): Promise<void> {
  await runPrune(session, "WARNING! This will remove all custom networks not used by at least one container.", (query) => pruneNetworks(session, query));
}

export async function pruneNetworks(session: Session, query: Record<string, string> = {}): Promise<Pruned> {
  const answer = await session.client.json<PrunedNetworks>("POST", "/networks/prune", { query: { filters: encodeFilters(pruneFilters(session)), ...query } });
  return { deleted: networkLines(answer), space: undefined, state: answer.State };
}

export function networkLines({ NetworksDeleted }: Pick<PrunedNetworks, "NetworksDeleted">): string {
  return NetworksDeleted?.length ? `Deleted Networks:\n${NetworksDeleted.join("\n")}\n` : "";
}
