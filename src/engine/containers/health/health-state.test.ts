import assert from "node:assert/strict";
import { test } from "node:test";
import { afterProbe, healthCheckOf, initialHealth, probeDelay } from "./health-state.ts";

const zero = { Test: null, Interval: 0, Timeout: 0, StartPeriod: 0, StartInterval: 0, Retries: 0 };
const result = (exitCode: number) => ({ start: "", end: "", exitCode, output: "" });

test("what runs, and Docker's defaults", () => {
  assert.equal(healthCheckOf(null, null), undefined);
  assert.equal(healthCheckOf({ ...zero, Test: ["NONE"] }, null), undefined);
  assert.equal(healthCheckOf({ ...zero, Test: [] }, null), undefined);
  assert.deepEqual(healthCheckOf({ ...zero, Test: ["CMD", "a", "b"] }, null), { probe: { command: ["a", "b"] }, interval: 30_000, timeout: 30_000, startPeriod: 0, startInterval: 5_000, retries: 3 });
  assert.deepEqual(healthCheckOf({ ...zero, Test: ["CMD-SHELL", "a b"], Interval: 5e8, Retries: 1 }, ["/bin/bash", "-xc"])?.probe, { command: ["/bin/bash", "-xc", "a b"] });
});

test("unhealthy after so many failures in a row, healthy after one success", () => {
  const check = healthCheckOf({ ...zero, Test: ["CMD", "x"], Retries: 2 }, null)!;
  let health = initialHealth();
  health = afterProbe(health, result(1), check, 1);
  assert.deepEqual([health.status, health.failingStreak], ["starting", 1]);
  health = afterProbe(health, result(-1), check, 2);
  assert.deepEqual([health.status, health.failingStreak], ["unhealthy", 2]);
  health = afterProbe(health, result(0), check, 3);
  assert.deepEqual([health.status, health.failingStreak], ["healthy", 0]);
  health = afterProbe(health, result(1), check, 3);
  assert.equal(health.status, "healthy");
  for (let i = 0; i < 9; i++) health = afterProbe(health, result(i), check, 3);
  assert.deepEqual(health.log.map((entry) => entry.exitCode), [4, 5, 6, 7, 8]);
});

test("failures in the start period do not count, and probes come faster in it", () => {
  const check = healthCheckOf({ ...zero, Test: ["CMD", "x"], StartPeriod: 10e9, StartInterval: 1e9, Retries: 1 }, null)!;
  const health = afterProbe(initialHealth(), result(1), check, 9_999);
  assert.deepEqual([health.status, health.failingStreak, health.log.length], ["starting", 0, 1]);
  assert.equal(probeDelay(health, check, 9_999), 1_000);
  assert.equal(probeDelay(health, check, 10_000), 30_000);
  assert.equal(afterProbe(health, result(1), check, 10_000).status, "unhealthy");
});
