import assert from "node:assert/strict";
import { test } from "node:test";
import type { ContainerRecord } from "../../../core/container.ts";
import type { RuntimeFailure } from "../../../core/runtime.ts";
import { GantryError, notFound } from "../../../lib/errors.ts";
import { ExecService } from "../exec/exec.ts";
import type { ExecConfig } from "../exec/instance.ts";
import { stats } from "../stats/stats.ts";
import { attach } from "./attach.ts";
import { recoverAll, startByPolicy } from "./recover.ts";
import { restart } from "./restart.ts";
import { start } from "./start.ts";
import { stop } from "./stop.ts";
import { wait } from "./wait.ts";
import { FakeTask, world } from "../testing/world.ts";

const stateOf = ({ state }: ContainerRecord): [string, number | undefined] => [state.status, "exitCode" in state ? state.exitCode : undefined];
const never = new AbortController().signal;

test("a run from start to exit: state, events, what is given back", async () => {
  const w = world();
  const record = w.add("a");
  await start(w.context, "a");
  assert.equal(record.state.status, "running");
  await assert.rejects(start(w.context, "a"), { code: "not-modified" });
  const waiting = wait(w.context, "a", "not-running", never);
  w.tasks[0]?.end(7);
  assert.deepEqual(await waiting, { exitCode: 7, error: "" });
  await w.settled(record);
  assert.deepEqual(stateOf(record), ["exited", 7]);
  assert.equal(w.tasks[0]?.released, true);
  assert.equal(w.connected.size, 0);
  assert.deepEqual(w.actions(), ["start", "die"]);
  assert.deepEqual(w.events[1]?.actor.attributes, { l: "v", image: "image", name: "a", execDuration: w.events[1]?.actor.attributes["execDuration"], exitCode: "7" });
  assert.deepEqual(await wait(w.context, "a", "not-running", never), { exitCode: 7, error: "" });
});

test("a failed start is undone and recorded", async () => {
  const w = world();
  const record = w.add("a");
  const failure: RuntimeFailure = { step: "exec", errno: "ENOENT", subject: "nosuch", kind: "program-not-found" };
  w.state.failure = new GantryError("invalid-parameter", 'exec: "nosuch": executable file not found in $PATH', { cause: failure });
  await assert.rejects(start(w.context, "a"), { code: "invalid-parameter" });
  assert.deepEqual(record.state, { status: "created", exitCode: 127, oomKilled: false, error: 'exec: "nosuch": executable file not found in $PATH', startedAt: 0n, finishedAt: 0n });
  assert.equal(w.connected.size, 0);
  assert.deepEqual(w.actions(), []);
});

test("auto-remove after an exit, and after a failed start", async () => {
  const w = world();
  const record = w.add("a", (r) => (r.hostConfig.AutoRemove = true));
  const removed = wait(w.context, "a", "removed", never);
  await start(w.context, "a");
  w.tasks[0]?.end(4);
  assert.deepEqual(await removed, { exitCode: 4, error: "" });
  assert.equal(w.store.get(record.id), undefined);
  w.add("b", (r) => (r.hostConfig.AutoRemove = true));
  w.state.failure = new Error("no");
  await assert.rejects(start(w.context, "b"));
  assert.throws(() => w.store.find("b"), { code: "not-found" });
});

test("restart policy on-failure starts again until its count; a stop ends it", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const w = world();
  const record = w.add("a", (r) => (r.hostConfig.RestartPolicy = { Name: "on-failure", MaximumRetryCount: 1 }));
  await start(w.context, "a");
  w.tasks[0]?.end(2);
  await w.settled(record);
  assert.equal(record.state.status, "restarting");
  t.mock.timers.tick(100);
  await w.settled(record);
  assert.equal(stateOf(record)[0], "running");
  assert.equal(record.restartCount, 1);
  w.tasks[1]?.end(2);
  await w.settled(record);
  assert.equal(stateOf(record)[0], "exited");
  const other = w.add("b", (r) => (r.hostConfig.RestartPolicy = { Name: "always", MaximumRetryCount: 0 }));
  await start(w.context, "b");
  w.tasks[2]?.end(0);
  await w.settled(other);
  assert.equal(other.state.status, "restarting");
  await stop(w.context, "b", {});
  t.mock.timers.tick(60_000);
  await w.settled(other);
  assert.equal(other.state.status, "exited");
  assert.equal(w.tasks.length, 3);
});

test("restart by hand of a running and of a stopped container", async () => {
  const w = world();
  const record = w.add("a");
  await restart(w.context, "a", {});
  await restart(w.context, "a", { timeout: 1 });
  assert.equal(record.state.status, "running");
  assert.deepEqual(w.actions(), ["start", "restart", "kill", "stop", "die", "start", "restart"]);
});

test("an attachment made before the start is connected before the program runs", async () => {
  const w = world();
  w.add("a");
  const attachment = attach(w.context, "a", { stdin: false, stdout: true, stderr: true });
  await start(w.context, "a");
  assert.ok(await attachment.stream);
  assert.equal(w.tasks[0]?.startedAt, 1n);
});

test("a disk that is full: a start is undone, an exit is known and saved later", async (t) => {
  const w = world();
  const record = w.add("a");
  const full = t.mock.method(w.store, "save", () => {
    throw new Error("database or disk is full");
  });
  await assert.rejects(start(w.context, "a"), { message: "database or disk is full" });
  assert.deepEqual([stateOf(record)[0], w.tasks[0]?.released, w.connected.size], ["created", true, 0]);
  full.mock.restore();
  await start(w.context, "a");
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let fails = 1;
  const save = w.store.save.bind(w.store);
  t.mock.method(w.store, "save", (changed: ContainerRecord) => {
    if (fails-- > 0) throw new Error("database or disk is full");
    save(changed);
  });
  const waiting = wait(w.context, "a", "not-running", never);
  w.tasks[1]?.end(3);
  assert.deepEqual(await waiting, { exitCode: 3, error: "" });
  assert.equal(fails, 0);
  t.mock.timers.tick(2000);
  assert.equal(fails, -1);
  assert.ok(w.warnings.some((warning) => warning.includes("tried again")));
});

test("wait is answered at the exit also when the policy restarts the container, and when a waiting restart is given up", async () => {
  const w = world();
  const record = w.add("a", (r) => (r.hostConfig.RestartPolicy = { Name: "always", MaximumRetryCount: 0 }));
  await start(w.context, "a");
  const waiting = wait(w.context, "a", "not-running", never);
  w.tasks[0]?.end(4);
  assert.deepEqual(await waiting, { exitCode: 4, error: "" });
  await w.settled(record);
  assert.equal(record.state.status, "restarting");
  const again = wait(w.context, "a", "not-running", never);
  await stop(w.context, "a", {});
  assert.deepEqual([await again, record.state.status], [{ exitCode: 4, error: "" }, "exited"]);
});

test("wait ends when its client goes away", async () => {
  const w = world();
  w.add("a");
  const abort = new AbortController();
  const waiting = wait(w.context, "a", "next-exit", abort.signal);
  abort.abort(new Error("gone"));
  await assert.rejects(Promise.resolve(waiting), { message: "gone" });
});

test("exec: once only, its exit code, refused where nothing runs", async () => {
  const w = world();
  const record = w.add("a");
  const execs = new ExecService(w.context);
  const config: ExecConfig = { user: "", privileged: false, tty: false, consoleSize: undefined, attachStdin: false, attachStdout: false, attachStderr: false, detachKeys: "", env: [], workingDir: "", cmd: ["x"] };
  await assert.rejects(execs.create("a", config), { code: "conflict", message: `container ${record.id} is not running` });
  await start(w.context, "a");
  await assert.rejects(execs.create("a", { ...config, cmd: [] }), { message: "No exec command specified" });
  await assert.rejects(execs.create("a", { ...config, user: "bob" }), { message: "unable to find user bob: no matching entries in passwd file" });
  const instance = execs.get(await execs.create("a", { ...config, user: "alice" }));
  await execs.start(instance, { detach: true });
  await w.settled(record);
  assert.deepEqual(instance.state, { status: "exited", exitCode: 3, pid: 1 });
  await assert.rejects(execs.start(instance, { detach: true }), { message: `exec command ${instance.id} has already run` });
  assert.deepEqual(w.actions(), ["start", "exec_create: x", "exec_start: x", "exec_die"]);
  assert.throws(() => execs.get("nosuch"), notFound("No such exec instance: nosuch"));
});

test("stats: empty of a stopped container, samples of a running one until it is left", async () => {
  const w = world();
  const record = w.add("a");
  const take = async (query: { stream: boolean; oneShot: boolean }) => (await stats(w.context, "a", { ...query, signal: never }).next()).value as Record<string, unknown>;
  assert.deepEqual((await take({ stream: false, oneShot: false }))["pids_stats"], {});
  await start(w.context, "a");
  const sample = await take({ stream: false, oneShot: true });
  assert.deepEqual([sample["id"], sample["name"], sample["pids_stats"], sample["preread"]], [record.id, "/a", { current: 1 }, "0001-01-01T00:00:00Z"]);
});

test("after a daemon's start: what ran on, what ended meanwhile, what is gone, what policies want", async () => {
  const w = world();
  const running = (r: ContainerRecord): void => void (r.state = { status: "running", pid: 1, startedAt: 5n });
  const on = w.add("on", running);
  const ended = w.add("ended", running);
  const gone = w.add("gone", running);
  const always = w.add("always", (r) => ((r.hostConfig.RestartPolicy = { Name: "always", MaximumRetryCount: 0 }), (r.state = { status: "exited", exitCode: 0, oomKilled: false, error: "", startedAt: 1n, finishedAt: 2n })));
  const task = new FakeTask({ id: on.id, autostart: true });
  w.state.recovered.set(on.id, { kind: "running", task }).set(ended.id, { kind: "exited", exit: { code: 9, at: 77n, oomKilled: false } });
  await recoverAll(w.context, { keepRunning: true });
  assert.equal(on.state.status, "running");
  assert.deepEqual(stateOf(ended), ["exited", 9]);
  assert.deepEqual(stateOf(gone), ["exited", 255]);
  assert.equal(always.state.status, "exited");
  await startByPolicy(w.context);
  assert.equal(always.state.status, "running");
  task.end(0);
  await w.settled(on);
  assert.equal(on.state.status, "exited");
  assert.deepEqual(w.warnings, []);
});

test("a restart keeps what is removed when it ends", async () => {
  const w = world();
  const record = w.add("a", (r) => (r.hostConfig.AutoRemove = true));
  await start(w.context, "a");
  await restart(w.context, "a", {});
  assert.equal(record.state.status, "running");
  await stop(w.context, "a", {});
  await w.settled(record);
  assert.equal(w.context.store.get(record.id), undefined);
});

test("after a daemon's start: an exit that was recorded already is not recorded again, and who was stopped meanwhile stays so", async () => {
  const w = world();
  const known = w.add("known", (r) => (r.state = { status: "exited", exitCode: 3, oomKilled: false, error: "", startedAt: 5n, finishedAt: 77n }));
  const task = new FakeTask({ id: known.id, autostart: true });
  task.end(3, false, 77n);
  w.state.recovered.set(known.id, { kind: "running", task });
  await recoverAll(w.context, { keepRunning: true });
  assert.deepEqual([stateOf(known), task.released, w.events.length], [["exited", 3], true, 0]);
  const always = (r: ContainerRecord): void => {
    r.hostConfig.RestartPolicy = { Name: "always", MaximumRetryCount: 0 };
    r.state = { status: "restarting", exitCode: 1, oomKilled: false, error: "", startedAt: 1n, finishedAt: 2n };
  };
  w.add("first", always);
  const second = w.add("second", always);
  await recoverAll(w.context, { keepRunning: true });
  await Promise.all([startByPolicy(w.context), stop(w.context, "second", {})]);
  assert.equal(second.state.status, "exited");
});
