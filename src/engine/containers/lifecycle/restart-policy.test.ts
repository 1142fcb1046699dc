import assert from "node:assert/strict";
import { test } from "node:test";
import { nextDelay, shouldRestart, shouldStartWithDaemon } from "./restart-policy.ts";

const ending = { exitCode: 1, restartCount: 0, stoppedByUser: false };
const policy = (Name: string, MaximumRetryCount = 0) => ({ Name, MaximumRetryCount });

test("policies while the daemon runs", () => {
  assert.equal(shouldRestart(policy("no"), ending), false);
  assert.equal(shouldRestart(policy(""), ending), false);
  assert.equal(shouldRestart(policy("always"), { ...ending, exitCode: 0 }), true);
  assert.equal(shouldRestart(policy("unless-stopped"), { ...ending, exitCode: 0 }), true);
  assert.equal(shouldRestart(policy("on-failure"), { ...ending, exitCode: 0 }), false);
  assert.equal(shouldRestart(policy("on-failure"), { ...ending, restartCount: 100 }), true);
  assert.equal(shouldRestart(policy("on-failure", 2), { ...ending, restartCount: 1 }), true);
  assert.equal(shouldRestart(policy("on-failure", 2), { ...ending, restartCount: 2 }), false);
  for (const name of ["always", "unless-stopped", "on-failure"]) assert.equal(shouldRestart(policy(name), { ...ending, stoppedByUser: true }), false);
});

test("policies when the daemon starts", () => {
  assert.equal(shouldStartWithDaemon(policy("always"), { ...ending, stoppedByUser: true }), true);
  assert.equal(shouldStartWithDaemon(policy("unless-stopped"), { ...ending, stoppedByUser: true }), false);
  assert.equal(shouldStartWithDaemon(policy("unless-stopped"), ending), true);
  assert.equal(shouldStartWithDaemon(policy("no"), ending), false);
});

test("the delay doubles up to a minute and begins anew after a healthy run", () => {
  const delays: number[] = [];
  for (let delay = 0, i = 0; i < 12; i++) delays.push((delay = nextDelay(delay, 50)));
  assert.deepEqual(delays, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
  assert.equal(nextDelay(6400, 10_000), 100);
});
