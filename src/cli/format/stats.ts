/** The rows of `stats`, from the daemon's counters. */
import { bytesSize, humanSize } from "../../lib/units.ts";
import { row } from "./rows.ts";
import type { RowKind } from "./rows.ts";
import type { TemplateObject } from "../../lib/template/values.ts";
import { shortId } from "./text.ts";

export interface StatsSample {
  id?: string;
  name?: string;
  cpu_stats: { cpu_usage: { total_usage: number; percpu_usage?: number[] | null }; system_cpu_usage?: number; online_cpus?: number };
  precpu_stats: { cpu_usage: { total_usage: number }; system_cpu_usage?: number };
  memory_stats: { usage?: number; limit?: number; stats?: Record<string, number> };
  pids_stats?: { current?: number };
  networks?: Record<string, { rx_bytes: number; tx_bytes: number }>;
  blkio_stats?: { io_service_bytes_recursive?: { op: string; value: number }[] | null };
}

export interface StatsEntry {
  container: string;
  sample: StatsSample | undefined;
  failed: boolean;
}

export const STATS_KIND: RowKind = {
  typeName: "*container.statsContext",
  headers: { Container: "CONTAINER", Name: "NAME", ID: "CONTAINER ID", CPUPerc: "CPU %", MemUsage: "MEM USAGE / LIMIT", MemPerc: "MEM %", NetIO: "NET I/O", BlockIO: "BLOCK I/O", PIDs: "PIDS" },
};

export function statsFormat(given: string): string {
  if (given === "" || given === "table") return "table {{.ID}}\\t{{.Name}}\\t{{.CPUPerc}}\\t{{.MemUsage}}\\t{{.MemPerc}}\\t{{.NetIO}}\\t{{.BlockIO}}\\t{{.PIDs}}";
  return given;
}

const NONE = "--";

export function statsRow(entry: StatsEntry, truncate: boolean): TemplateObject {
  const { container, sample, failed } = entry;
  const shown = (text: (sample: StatsSample) => string, none = NONE): string => (sample && !failed ? text(sample) : none);
  return row(STATS_KIND, {
    Container: () => container,
    Name: () => sample?.name?.replace(/^\//, "") || NONE,
    ID: () => (truncate ? shortId(sample?.id ?? "") : (sample?.id ?? "")) || NONE,
    CPUPerc: () => shown((one) => `${cpuPercent(one).toFixed(2)}%`),
    MemUsage: () => shown((one) => `${bytesSize(memoryUsed(one))} / ${bytesSize(one.memory_stats.limit ?? 0)}`, `${NONE} / ${NONE}`),
    MemPerc: () => shown((one) => `${memoryPercent(one).toFixed(2)}%`),
    NetIO: () => shown((one) => networkText(one)),
    BlockIO: () => shown((one) => blockText(one)),
    PIDs: () => shown((one) => String(one.pids_stats?.current ?? 0)),
  });
}

function cpuPercent({ cpu_stats: now, precpu_stats: before }: StatsSample): number {
  const used = now.cpu_usage.total_usage - before.cpu_usage.total_usage;
  const total = (now.system_cpu_usage ?? 0) - (before.system_cpu_usage ?? 0);
  const cpus = now.online_cpus || now.cpu_usage.percpu_usage?.length || 0;
  return used > 0 && total > 0 ? (used / total) * cpus * 100 : 0;
}

/** Without the page cache that the kernel would give back first. */
function memoryUsed({ memory_stats: memory }: StatsSample): number {
  const usage = memory.usage ?? 0;
  const cache = memory.stats?.["total_inactive_file"] ?? memory.stats?.["inactive_file"];
  return cache !== undefined && cache < usage ? usage - cache : usage;
}

function memoryPercent(sample: StatsSample): number {
  const limit = sample.memory_stats.limit ?? 0;
  return limit === 0 ? 0 : (memoryUsed(sample) / limit) * 100;
}

function networkText(sample: StatsSample): string {
  const all = Object.values(sample.networks ?? {});
  const sum = (key: "rx_bytes" | "tx_bytes"): number => all.reduce((total, one) => total + one[key], 0);
  return `${humanSize(sum("rx_bytes"), 3)} / ${humanSize(sum("tx_bytes"), 3)}`;
}

function blockText(sample: StatsSample): string {
  const entries = sample.blkio_stats?.io_service_bytes_recursive ?? [];
  const sum = (letter: string): number => entries.filter(({ op }) => op.toLowerCase().startsWith(letter)).reduce((total, { value }) => total + value, 0);
  return `${humanSize(sum("r"), 3)} / ${humanSize(sum("w"), 3)}`;
}
