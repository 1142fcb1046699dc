import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { emptyConfig, emptyHostConfig } from "../../../core/container-config.ts";
import type { ContainerRecord } from "../../../core/container.ts";
import type { EngineEvent } from "../../../core/events.ts";
import type { ExitStatus, RecoveredTask, Runtime, RuntimeFailure, Task, TaskRequest } from "../../../core/runtime.ts";
import { GantryError, notFound } from "../../../lib/errors.ts";
import { openDatabase } from "../../../sys/database.ts";
import { ExecService } from "../exec/exec.ts";
import type { ExecConfig } from "../exec/instance.ts";
import { containerMigrations, ContainerStore } from "../store.ts";
import { stats } from "../stats/stats.ts";
import { attach } from "./attach.ts";
import type { LifecycleContext } from "./context.ts";
import { LiveContainer } from "./live.ts";
import { pause, unpause } from "./pause.ts";
import { recoverAll, startByPolicy } from "./recover.ts";
import { restart } from "./restart.ts";
import { launch, start } from "./start.ts";
import { kill, stop } from "./stop.ts";
import { wait } from "./wait.ts";
import { createdRecord } from "../testing/record.ts";

const stateOf = ({ state }: ContainerRecord): [string, number | undefined] => [state.status, "exitCode" in state ? state.exitCode : undefined];
const never = new AbortController().signal;

/** A task whose end the test decides; it obeys SIGKILL, and the signals in `obeys`. */
class FakeTask implements Task {
  readonly id: string;
  readonly pid = 4242;
  startedAt: bigint | undefined;
  readonly signals: number[] = [];
  released = false;
  obeys = new Set([15]);
  readonly #end = Promise.withResolvers<ExitStatus>();
  readonly exited = this.#end.promise;

  constructor(request: { id: string; autostart: boolean }) {
    this.id = request.id;
    if (request.autostart) this.startedAt = 1n;
  }

  end(code: number, oomKilled = false, at = BigInt(Date.now()) * 1_000_000n): void {
    this.#end.resolve({ code, at, oomKilled });
  }

  async start(): Promise<void> {
    this.startedAt = 1n;
  }
  async signal(signal: number): Promise<void> {
    this.signals.push(signal);
    if (signal === 9 || this.obeys.has(signal)) this.end(128 + signal);
  }
  async attach() {
    return new PassThrough();
  }
  async resize(): Promise<void> {}
  async exec() {
    return { pid: 1, exited: Promise.resolve({ code: 3, at: 0n, oomKilled: false }), stream: undefined, resize: async () => {}, signal: async () => {} };
  }
  async pids(): Promise<number[]> {
    return [this.pid];
  }
  async stats() {
    return { throttling: { periods: 0, throttledPeriods: 0, throttledTime: 0 }, pids: { current: 1 }, blkio: {}, networks: {} };
  }
  async pause(): Promise<void> {}
  async resume(): Promise<void> {}
  async update(): Promise<void> {}
  async changeLog(): Promise<void> {}
  async checkpoint(): Promise<void> {}
  async release(): Promise<void> {
    this.released = true;
  }
}

function world() {
  const database = openDatabase(":memory:", containerMigrations);
  const store = new ContainerStore(database);
  const lives = new Map<string, LiveContainer>();
  const tasks: FakeTask[] = [];
  const events: EngineEvent[] = [];
  const connected = new Set<string>();
  const state = { failure: undefined as Error | undefined, recovered: new Map<string, RecoveredTask>() };
  const runtime: Runtime = {
    create: async (request: TaskRequest) => {
      if (state.failure) throw state.failure;
      const task = new FakeTask(request);
      tasks.push(task);
      return task;
    },
    explain: (request) => `plan of ${request.id}`,
    recover: async (id) => state.recovered.get(id) ?? { kind: "gone" },
    list: async () => [],
    purge: async () => {},
    close: async () => {},
  };
  const warnings: string[] = [];
  const context: LifecycleContext = {
    store,
    runtime,
    events: { emit: (event) => events.push(event) },
    logs: { read: async function* () {} },
    compressor: { watch: () => {} },
    forwarder: { verify: async () => {}, forward: () => {}, ended: () => {}, drained: () => undefined, drop: () => {}, isBehind: () => false, close: async () => {} },
    rootfs: async () => ({ mounts: [], [Symbol.asyncDispose]: async () => undefined }),
    networks: {
      connect: async (record) => (connected.add(record.id), {}),
      disconnect: async (record) => void connected.delete(record.id),
      started: () => {},
    },
    buildSpec: () => ({ ociVersion: "1.3.0" }),
    runtimeOf: () => undefined,
    planSpec: () => ({ ociVersion: "1.3.0" }),
    buildExecProcess: (_record, exec) => ({ user: { uid: 0, gid: 0 }, args: exec.cmd, cwd: "/" }),
    remove: async (record) => {
      store.remove(record);
      context.live(record.id).tellRemoval({ exitCode: "exitCode" in record.state ? (record.state.exitCode ?? 0) : 0, error: "" });
    },
    live: (id) => {
      const live = lives.get(id) ?? new LiveContainer();
      lives.set(id, live);
      return live;
    },
    relaunch: (record) => launch(context, record),
    logPath: () => "/nowhere",
    logBytes: 0,
    readFile: async () => Buffer.from("alice:x:1:1::/:/bin/sh\n"),
    connectInside: () => {
      throw new Error("a container that is made up has no network");
    },
    probed: () => undefined,
    defaultStopTimeout: 10,
    warn: (message) => warnings.push(message),
  };
  const add = (name: string, change: (record: ContainerRecord) => void = () => {}): ContainerRecord => {
    const record = createdRecord({
      id: randomBytes(32).toString("hex"),
      name,
      config: { ...emptyConfig(), Labels: { l: "v" } },
      hostConfig: { ...emptyHostConfig(), LogConfig: { Type: "json-file", Config: {} }, RestartPolicy: { Name: "no", MaximumRetryCount: 0 } },
    });
    change(record);
    store.add(record);
    return record;
  };
  const settled = async (record: ContainerRecord): Promise<void> => {
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    await store.withContainer(record.id, async () => {});
  };
  return { context, store, tasks, events, connected, state, add, settled, warnings, actions: () => events.map((event) => event.action) };
}

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
