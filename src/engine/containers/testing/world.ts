/** Containers of a daemon without a kernel below it, for tests of their lives. */
import { randomBytes } from "node:crypto";
import { PassThrough } from "node:stream";
import { emptyConfig, emptyHostConfig } from "../../../core/container-config.ts";
import type { ContainerRecord } from "../../../core/container.ts";
import type { EngineEvent } from "../../../core/events.ts";
import type { ExitStatus, RecoveredTask, Runtime, Task, TaskRequest } from "../../../core/runtime.ts";
import { openDatabase } from "../../../sys/database.ts";
import { containerMigrations, ContainerStore } from "../store.ts";
import type { LifecycleContext } from "../lifecycle/context.ts";
import { LiveContainer } from "../lifecycle/live.ts";
import { launch } from "../lifecycle/start.ts";
import { createdRecord } from "./record.ts";

/** A task whose end the test decides; it obeys SIGKILL, and the signals in `obeys`. */
export class FakeTask implements Task {
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

/** A context whose runtime, networks and root file systems are made up. */
export function world() {
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
    logs: { read: async () => (async function* () {})() },
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
