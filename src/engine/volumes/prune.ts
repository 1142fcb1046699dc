/** Removing volumes that no container uses. */
import type { EventSink } from "../../core/events.ts";
import { conflict, invalidParameter, messageOf } from "../../lib/errors.ts";
import type { Filters } from "../../lib/filters.ts";
import { parseBool } from "../../lib/strconv.ts";
import { isPlain, type VolumeService } from "./service.ts";
import type { VolumeRow } from "./store.ts";
import { ANONYMOUS } from "./volume.ts";

export interface PruneReport {
  deleted: string[];
  reclaimedBytes: number;
}

export interface PruneRequest {
  filters: Filters;
  /** Named ones, too. The filter "all" says the same. */
  all: boolean;
  signal: AbortSignal;
}

const running = new WeakSet<VolumeService>();

/** Throws Docker's refusals of filters, and "conflict" while another prune runs. */
export async function pruneVolumes(volumes: VolumeService, request: PruneRequest, { events, warn }: { events: EventSink; warn(message: string): void }): Promise<PruneReport> {
  if (running.has(volumes)) throw conflict("a prune operation is already running");
  running.add(volumes);
  try {
    const report: PruneReport = { deleted: [], reclaimedBytes: 0 };
    for (const { name } of candidates(volumes, request)) {
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
    events.emit({ type: "volume", action: "prune", actor: { id: "", attributes: { reclaimed: String(report.reclaimedBytes) } } });
    return report;
  } finally {
    running.delete(volumes);
  }
}

/** Not those with options: their data is elsewhere. */
function candidates(volumes: VolumeService, { filters, all }: PruneRequest): VolumeRow[] {
  const named = all || allFilter(filters);
  filters.validate(["all", "label", "label!"]);
  const excepts = filters.values("label!").length > 0;
  return volumes.find((row) => {
    const labels = row.labels ?? {};
    if (!isPlain(row) || volumes.isUsed(row.name) || (!named && !Object.hasOwn(labels, ANONYMOUS))) return false;
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
