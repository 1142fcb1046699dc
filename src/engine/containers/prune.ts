/** Removing every container that does not run. */
import { conflict, messageOf } from "../../lib/errors.ts";
import type { Filters } from "../../lib/filters.ts";
import type { ContainersContext } from "./context.ts";
import { removeContainer } from "./remove.ts";
import { countsAsRunning } from "./view/state.ts";

export interface PruneOptions {
  filters: Filters;
  /** Only containers that were made before this, in nanoseconds since 1970. */
  until: bigint | undefined;
  signal: AbortSignal;
}

export interface PruneReport {
  deleted: string[];
  reclaimedBytes: number;
}

const running = new WeakSet<ContainersContext>();

export async function pruneContainers(context: ContainersContext, options: PruneOptions): Promise<PruneReport> {
  if (running.has(context)) throw conflict("a prune operation is already running");
  running.add(context);
  try {
    const report = await prune(context, options);
    context.events.emit({ type: "container", action: "prune", actor: { id: "", attributes: { reclaimed: String(report.reclaimedBytes) } } });
    return report;
  } finally {
    running.delete(context);
  }
}

async function prune(context: ContainersContext, { filters, until, signal }: PruneOptions): Promise<PruneReport> {
  const report: PruneReport = { deleted: [], reclaimedBytes: 0 };
  for (const record of [...context.store.list()]) {
    if (signal.aborted) break;
    const labels = record.config.Labels ?? {};
    const isExcepted = filters.values("label!").length > 0 && filters.labels("label!", labels);
    if (countsAsRunning(record) || (until !== undefined && record.createdAt > until) || !filters.labels("label", labels) || isExcepted) continue;
    try {
      const { writable } = await context.layers.size(record);
      await removeContainer(context, record.id, { force: false, link: false, volumes: false });
      report.deleted.push(record.id);
      report.reclaimedBytes += writable;
    } catch (error) {
      context.warn(`prune: ${messageOf(error)}`);
    }
  }
  return report;
}
