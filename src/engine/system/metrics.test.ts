import assert from "node:assert/strict";
import { test } from "node:test";
import { Metrics, type MetricSources } from "./metrics.ts";

const sources: MetricSources = {
  info: { architecture: "x86_64", commit: "abc", id: "id", driver: "overlay2", kernel: "6.1", os: 'Some "Linux"\\', version: "1" },
  cpus: 2, memoryBytes: 1024, containers: { running: 1, paused: 0, stopped: 2 }, events: 7, eventListeners: 3, openFiles: 10, maxOpenFiles: 100,
};
const valueOf = (text: string, name: string): string | undefined => text.split("\n").find((line) => line.startsWith(`${name} `))?.slice(name.length + 1);

test("counters count, histograms are cumulative, labels are escaped", () => {
  const metrics = new Metrics();
  for (const seconds of [0.001, 0.02, 0.02, 60]) metrics.acted("container", "start", seconds);
  metrics.acted("image", "pull", 1);
  for (const succeeded of [true, false, true]) metrics.probed(succeeded);
  const text = metrics.text(sources);
  const start = (suffix: string, labels = ""): string | undefined => valueOf(text, `engine_daemon_container_actions_seconds_${suffix}{action="start"${labels}}`);
  assert.deepEqual(["0.005", "0.01", "0.025", "10", "+Inf"].map((le) => start("bucket", `,le="${le}"`)), ["1", "1", "3", "3", "4"]);
  assert.equal(start("count"), "4");
  assert.equal(Number(start("sum")).toFixed(3), "60.041");
  assert.equal(valueOf(text, 'engine_daemon_container_states_containers{state="stopped"}'), "2");
  assert.deepEqual(["health_checks_total", "health_checks_failed_total", "events_total"].map((name) => valueOf(text, `engine_daemon_${name}`)), ["3", "1", "7"]);
  assert.ok(text.includes('os="Some \\"Linux\\"\\\\"'));
  assert.ok(!text.includes("network_actions"), "what never happened is not told");
});

test("each family is told once, and each line reads as the format says", () => {
  const text = new Metrics().text(sources);
  const families = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
  assert.deepEqual(families, [...new Set(families)]);
  for (const line of text.trim().split("\n")) assert.match(line, /^(# (HELP|TYPE) \S+ .+|[a-z_]+(\{([a-z_]+="([^"\\]|\\.)*",?)*\})? [0-9.e+]+)$/);
});
