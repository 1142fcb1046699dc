/** Removing volumes that no container uses. */
import type { EventSink } from "../../core/events.ts";
import type { Digest } from "../../lib/digest.ts";
import { conflict, invalidParameter, messageOf } from "../../lib/errors.ts";
import type { Filters } from "../../lib/filters.ts";
import { parseBool } from "../../lib/strconv.ts";
import { requireState, stateOf } from "../prune-state.ts";
import type { VolumeService } from "./service.ts";
import { isPlain, type VolumeRow } from "./store.ts";
import { ANONYMOUS } from "./volume.ts";

export interface PruneReport {
  deleted: string[];
  reclaimedBytes: number;
}

export interface PruneRequest {
  filters: Filters;
  /** Named ones, too. The filter "all" says the same. */
  all: boolean;
  /** Containers that are taken as gone. */
  without?: ReadonlySet<string>;
}

export interface PruneOptions extends PruneRequest {
  signal: AbortSignal;
  /** Of a dry run. "conflict" when it would be another one now. */
  state?: string | undefined;
}

/** What a prune would do now. */
export interface PrunePlan extends PruneReport {
  state: Digest;
}

const running = new WeakSet<VolumeService>();

/** Throws Docker's refusals of filters, and "conflict" while another prune runs. */
export async function pruneVolumes(volumes: VolumeService, request: PruneOptions, { events, warn }: { events: EventSink; warn(message: string): void }): Promise<PruneReport> {
  if (running.has(volumes)) throw conflict("a prune operation is already running");
  running.add(volumes);
  try {
    const report: PruneReport = { deleted: [], reclaimedBytes: 0 };
    const planned = request.state === undefined ? undefined : await planPrune(volumes, request);
    if (planned) requireState(request.state, planned.state, "volumes");
    for (const { name } of await candidates(volumes, request)) {
      if (planned?.deleted.includes(name) === false) continue;
      if (request.signal.aborted) break;
      try {
        const bytes = await volumes.sizeOf(name);
        await volumes.remove(name);
        report.deleted.push(name);
        report.reclaimedBytes += bytes;
      } catch (error) {
        warn(`prune: ${messageOf(error)}`);
      }
    }
    await volumes.settled();
    events.emit({ type: "volume", action: "prune", actor: { id: "", attributes: { reclaimed: String(report.reclaimedBytes) } } });
    return report;
  } finally {
    running.delete(volumes);
  }
}

export async function planPrune(volumes: VolumeService, request: PruneRequest): Promise<PrunePlan> {
  const report: PruneReport = { deleted: [], reclaimedBytes: 0 };
  for (const { name } of await candidates(volumes, request)) {
    report.deleted.push(name);
    report.reclaimedBytes += await volumes.sizeOf(name);
  }
  return { ...report, state: stateOf(report) };
}

/** Not those with options: their data is elsewhere. */
function candidates(volumes: VolumeService, { filters, all, without }: PruneRequest): Promise<VolumeRow[]> {
  const named = all || allFilter(filters);
  filters.validate(["all", "label", "label!"]);
  const excepts = filters.values("label!").length > 0;
  return volumes.find((row) => {
    const labels = row.labels ?? {};
    if (!isPlain(row) || volumes.usersOf(row.name).some((user) => without?.has(user) !== true) || (!named && !Object.hasOwn(labels, ANONYMOUS))) return false;
    return filters.labels("label", labels) && !(excepts && filters.labels("label!", labels));
  });
}

function allFilter(filters: Filters): boolean {
  const values = filters.values("all");
  if (values.length > 1) throw invalidParameter(`invalid filter 'all=[${values.join(" ")}]': only one value is expected`);
  const [value] = values;
  if (value === undefined) return false;
  try {
    return parseBool(value);
  } catch (error) {
    throw invalidParameter(`invalid filter 'all': ${messageOf(error)}`);
  }
}
