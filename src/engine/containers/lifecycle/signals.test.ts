/** Stops, kills and pauses. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { pause, unpause } from "./pause.ts";
import { restart } from "./restart.ts";
import { start } from "./start.ts";
import { kill, stop } from "./stop.ts";
import { type FakeTask, world } from "../testing/world.ts";

test("stop sends the stop signal, then SIGKILL after the timeout", async () => {
  const w = world();
  const record = w.add("a");
  await start(w.context, "a");
  await stop(w.context, "a", {});
  assert.deepEqual(w.tasks[0]?.signals, [15]);
  await w.settled(record);
  assert.deepEqual(w.actions(), ["start", "kill", "stop", "die"]);
  await assert.rejects(stop(w.context, "a", {}), { code: "not-modified" });
  await start(w.context, "a");
  const stubborn = w.tasks[1] as FakeTask;
  stubborn.obeys.clear();
  await stop(w.context, "a", { timeout: 0 });
  assert.deepEqual(stubborn.signals, [15, 9]);
  await assert.rejects(stop(w.context, "nosuch", {}), { code: "not-found", message: "No such container: nosuch" });
});

test("a stop that comes at once leaves the program a moment to say what it does with the signal; a kill does not", async () => {
  const w = world();
  const record = w.add("a");
  const startNow = async (): Promise<void> => {
    await start(w.context, "a");
    // By the clock of the machine, an hour ahead: a busy one takes no part of the moment away.
    record.state = { ...record.state, startedAt: BigInt(Date.now() + 3_600_000) * 1_000_000n };
  };
  await startNow();
  const stopping = stop(w.context, "a", {});
  await new Promise(setImmediate);
  assert.deepEqual(w.tasks[0]?.signals, []);
  await stopping;
  assert.deepEqual(w.tasks[0]?.signals, [15]);
  await w.settled(record);
  await startNow();
  const killing = kill(w.context, "a", "SIGTERM");
  await new Promise(setImmediate);
  assert.deepEqual(w.tasks[1]?.signals, [15]);
  await killing;
});

test("kill: refusals have Docker's words", async () => {
  const w = world();
  const { id } = w.add("a");
  await assert.rejects(kill(w.context, "a", undefined), { code: "conflict", message: `cannot kill container: a: container ${id} is not running` });
  await start(w.context, "a");
  await assert.rejects(kill(w.context, "a", "SIGNOSUCH"), { code: "invalid-parameter", message: "cannot kill container: a: invalid signal: SIGNOSUCH" });
  await kill(w.context, "a", "winch");
  assert.deepEqual(w.tasks[0]?.signals, [28]);
  await kill(w.context, "a", undefined);
  assert.deepEqual(w.tasks[0]?.signals, [28, 9]);
});

test("pause and unpause", async () => {
  const w = world();
  const record = w.add("a");
  await assert.rejects(pause(w.context, "a"), { code: "conflict", message: `container ${record.id} is not running` });
  await start(w.context, "a");
  await pause(w.context, "a");
  await assert.rejects(pause(w.context, "a"), { message: `container ${record.id} is already paused` });
  await assert.rejects(start(w.context, "a"), { message: "cannot start a paused container, try unpause instead" });
  await unpause(w.context, "a");
  await assert.rejects(unpause(w.context, "a"), { code: "system", message: `Container ${record.id} is not paused` });
});

test("a signal that may end a frozen container thaws it, others leave it frozen", async () => {
  const w = world();
  const record = w.add("a");
  await start(w.context, "a");
  await pause(w.context, "a");
  record.config.StopSignal = "SIGUSR2";
  await kill(w.context, "a", "USR1");
  assert.equal(record.state.status, "paused");
  record.config.StopSignal = "SIGUSR1";
  await kill(w.context, "a", "USR1");
  assert.equal(record.state.status, "running");
  assert.deepEqual(w.actions(), ["start", "pause", "kill", "kill", "unpause"]);
});

test("signals are read before containers are looked up, those of a stop only when there is something to stop", async () => {
  const w = world();
  const record = w.add("a");
  await assert.rejects(kill(w.context, "none", "NONE"), { code: "invalid-parameter" });
  await restart(w.context, "a", { signal: "NONE" });
  assert.equal(record.state.status, "running");
});
