/** Removing every container that does not run. */
import type { ContainerRecord } from "../../core/container.ts";
import type { Digest } from "../../lib/digest.ts";
import { conflict, messageOf } from "../../lib/errors.ts";
import type { Filters } from "../../lib/filters.ts";
import { requireState, stateOf } from "../prune-state.ts";
import type { ContainersContext } from "./context.ts";
import { removeContainer } from "./remove.ts";
import { countsAsRunning } from "./view/state.ts";

export interface PruneSelection {
  filters: Filters;
  /** Only containers that were made before this, in nanoseconds since 1970. */
  until: bigint | undefined;
}

export interface PruneOptions extends PruneSelection {
  signal: AbortSignal;
  /** Of a dry run. "conflict" when it would be another one now. */
  state?: string | undefined;
}

export interface PruneReport {
  deleted: string[];
  reclaimedBytes: number;
}

/** What a prune would do now. */
export interface PrunePlan extends PruneReport {
  state: Digest;
}

const running = new WeakSet<ContainersContext>();

export async function pruneContainers(context: ContainersContext, options: PruneOptions): Promise<PruneReport> {
  if (running.has(context)) throw conflict("a prune operation is already running");
  running.add(context);
  try {
    const planned = options.state === undefined ? undefined : await planPrune(context, options);
    if (planned) requireState(options.state, planned.state, "containers");
    const report = await prune(context, options, planned && new Set(planned.deleted));
    await context.layers.settled();
    context.events.emit({ type: "container", action: "prune", actor: { id: "", attributes: { reclaimed: String(report.reclaimedBytes) } } });
    return report;
  } finally {
    running.delete(context);
  }
}

export async function planPrune(context: ContainersContext, selection: PruneSelection): Promise<PrunePlan> {
  const report: PruneReport = { deleted: [], reclaimedBytes: 0 };
  for (const record of candidates(context, selection)) {
    report.deleted.push(record.id);
    report.reclaimedBytes += (await context.layers.size(record)).writable;
  }
  return { ...report, state: stateOf(report) };
}

/** The newest first. */
function candidates(context: ContainersContext, { filters, until }: PruneSelection): ContainerRecord[] {
  const newestFirst = [...context.store.list()].sort((one, other) => (one.createdAt < other.createdAt ? 1 : -1));
  return newestFirst.filter((record) => {
    const labels = record.config.Labels ?? {};
    const isExcepted = filters.values("label!").length > 0 && filters.labels("label!", labels);
    return !countsAsRunning(record) && (until === undefined || record.createdAt <= until) && filters.labels("label", labels) && !isExcepted;
  });
}

async function prune(context: ContainersContext, { signal, ...selection }: PruneOptions, planned: ReadonlySet<string> | undefined): Promise<PruneReport> {
  const report: PruneReport = { deleted: [], reclaimedBytes: 0 };
  for (const record of candidates(context, selection)) {
    if (signal.aborted) break;
    if (planned?.has(record.id) === false) continue;
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
