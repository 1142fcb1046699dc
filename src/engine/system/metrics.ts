/** What Prometheus reads: the names and units of Docker's metrics, in the text format 0.0.4. */

/** Upper bounds of the histograms' buckets, in seconds: Prometheus' own defaults, which Docker uses. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export type ActionKind = "container" | "image" | "network";

export interface MetricSources {
  info: { architecture: string; commit: string; id: string; driver: string; kernel: string; os: string; version: string };
  cpus: number;
  memoryBytes: number;
  containers: { running: number; paused: number; stopped: number };
  events: number;
  eventListeners: number;
  openFiles: number;
  maxOpenFiles: number;
}

interface Histogram {
  buckets: number[];
  count: number;
  sum: number;
}

export class Metrics {
  readonly #actions: Record<ActionKind, Map<string, Histogram>> = { container: new Map(), image: new Map(), network: new Map() };
  #probes = 0;
  #failedProbes = 0;

  /** An action took so many seconds, whether it succeeded or not. */
  acted(kind: ActionKind, action: string, seconds: number): void {
    let histogram = this.#actions[kind].get(action);
    if (!histogram) this.#actions[kind].set(action, (histogram = { buckets: BUCKETS.map(() => 0), count: 0, sum: 0 }));
    histogram.count++;
    histogram.sum += seconds;
    const first = BUCKETS.findIndex((bound) => seconds <= bound);
    if (first >= 0) for (let at = first; at < BUCKETS.length; at++) histogram.buckets[at] = (histogram.buckets[at] as number) + 1;
  }

  /** A health check's probe ended. */
  probed(succeeded: boolean): void {
    this.#probes++;
    if (!succeeded) this.#failedProbes++;
  }

  /** The whole page. */
  text(sources: MetricSources): string {
    const { info, containers } = sources;
    const usage = process.cpuUsage();
    const lines = [
      ...Object.entries(this.#actions).flatMap(([kind, actions]) => histograms(`engine_daemon_${kind}_actions_seconds`, `The number of seconds it takes to process each ${kind} action`, actions)),
      ...family("engine_daemon_container_states_containers", "gauge", "The count of containers in various states", Object.entries(containers).map(([state, count]) => [{ state }, count])),
      ...family("engine_daemon_engine_cpus_cpus", "gauge", "The number of cpus that the host system of the engine has", [[{}, sources.cpus]]),
      ...family("engine_daemon_engine_info", "gauge", "The information related to the engine and the OS it is running on", [
        [{ architecture: info.architecture, commit: info.commit, daemon_id: info.id, graphdriver: info.driver, kernel: info.kernel, os: info.os, os_type: "linux", version: info.version }, 1],
      ]),
      ...family("engine_daemon_engine_memory_bytes", "gauge", "The number of bytes of memory that the host system of the engine has", [[{}, sources.memoryBytes]]),
      ...family("engine_daemon_events_subscribers_total", "gauge", "The number of current subscribers to events", [[{}, sources.eventListeners]]),
      ...family("engine_daemon_events_total", "counter", "The number of events logged", [[{}, sources.events]]),
      ...family("engine_daemon_health_checks_failed_total", "counter", "The total number of failed health checks", [[{}, this.#failedProbes]]),
      ...family("engine_daemon_health_checks_total", "counter", "The total number of health checks", [[{}, this.#probes]]),
      ...family("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.", [[{}, (usage.user + usage.system) / 1e6]]),
      ...family("process_max_fds", "gauge", "Maximum number of open file descriptors.", [[{}, sources.maxOpenFiles]]),
      ...family("process_open_fds", "gauge", "Number of open file descriptors.", [[{}, sources.openFiles]]),
      ...family("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", [[{}, process.memoryUsage.rss()]]),
      ...family("process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.", [[{}, Math.round((performance.timeOrigin / 1000) * 100) / 100]]),
    ];
    return `${lines.join("\n")}\n`;
  }
}

type Labels = Record<string, string>;

const head = (name: string, type: string, help: string): string[] => [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];

function family(name: string, type: "counter" | "gauge", help: string, samples: readonly [Labels, number][]): string[] {
  return [...head(name, type, help), ...samples.map(([labels, value]) => sample(name, labels, value))];
}

function histograms(name: string, help: string, actions: ReadonlyMap<string, Histogram>): string[] {
  if (actions.size === 0) return [];
  const samples = [...actions].flatMap(([action, { buckets, count, sum }]) => [
    ...BUCKETS.map((bound, at) => sample(`${name}_bucket`, { action, le: String(bound) }, buckets[at] as number)),
    sample(`${name}_bucket`, { action, le: "+Inf" }, count),
    sample(`${name}_sum`, { action }, sum),
    sample(`${name}_count`, { action }, count),
  ]);
  return [...head(name, "histogram", help), ...samples];
}

function sample(name: string, labels: Labels, value: number): string {
  const text = Object.entries(labels).map(([key, label]) => `${key}="${label.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`);
  return `${name}${text.length === 0 ? "" : `{${text.join(",")}}`} ${value}`;
}
