/** Starting: sandbox, specification, task, state. Undone whole on failure. */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import type { ContainerRecord } from "../../../core/container.ts";
import type { LogRequest, RuntimeFailure, StdioRequest, Task } from "../../../core/runtime.ts";
import { nowNanoseconds } from "../../../lib/clock.ts";
import { codeOf, conflict, GantryError, messageOf, notModified } from "../../../lib/errors.ts";
import { faultPoint } from "../../../lib/fault.ts";
import { monitorHealth } from "../health/monitor.ts";
import { type CheckpointName, checkpointOf } from "./checkpoint.ts";
import type { LifecycleContext, Sandbox } from "./context.ts";
import { watchTask } from "./exit.ts";
import type { LiveContainer } from "./live.ts";
import { verifyLog } from "./log-forwarding.ts";
import { logRequest } from "./log-request.ts";
import { persist } from "./persist.ts";
import { cancelRestart } from "./restart-timer.ts";
import { emit, lastRun } from "./state.ts";

/** Starts a container by hand. "not-modified" when it runs already. `trace` keeps the steps with their times. */
export async function start(context: LifecycleContext, ref: string, { trace = false, checkpoint }: { trace?: boolean; checkpoint?: CheckpointName } = {}): Promise<void> {
  const { id } = context.store.find(ref);
  await context.store.withContainer(id, async () => {
    const record = context.store.find(id);
    switch (record.state.status) {
      case "running":
        throw notModified(`container ${id} is already running`);
      case "paused":
        throw conflict("cannot start a paused container, try unpause instead");
      case "removing":
      case "dead":
        throw conflict("container is marked for removal and cannot be started");
      case "restarting":
      case "created":
      case "exited":
    }
    const folder = checkpoint && checkpointOf(context, record, checkpoint);
    cancelRestart(context, id);
    record.restartCount = 0;
    record.stoppedByUser = false;
    context.live(id).restartDelay = 0;
    try {
      await launch(context, record, trace ? [] : undefined, folder);
    } catch (error) {
      if (record.hostConfig.AutoRemove) await context.remove(record);
      throw error;
    }
  });
}

/** Makes a task for the record and runs it. The caller holds the container's lock. On failure the record says why. `trace` gets the steps; `checkpoint`: the processes come from this folder. */
export async function launch(context: LifecycleContext, record: ContainerRecord, trace?: LiveContainer["trace"], checkpoint?: string): Promise<void> {
  const live = context.live(record.id);
  const measured = async <T>(name: string, run: () => T | Promise<T>): Promise<T> => {
    const begun = performance.now();
    try {
      return await run();
    } finally {
      trace?.push({ name, microseconds: Math.round((performance.now() - begun) * 1000) });
    }
  };
  live.stopping = false;
  live.stopEvent = undefined;
  let task: Task | undefined;
  try {
    await live.released;
    const runtime = context.runtimeOf(record);
    await using rootfs = await measured("rootfs", () => context.rootfs(record));
    const sandbox: Sandbox = await measured("network", () => context.networks.connect(record));
    faultPoint("start-networked");
    const spec = await measured("spec", () => context.buildSpec(record, sandbox));
    const attachFirst = live.pending.size > 0;
    task = await measured("task", async () =>
      context.runtime.create({
        id: record.id,
        spec,
        ...(runtime && { runtime }),
        rootfs: rootfs.mounts,
        ...(sandbox.netnsFd === undefined ? {} : { netnsFd: sandbox.netnsFd }),
        stdio: stdioOf(record),
        log: await logOf(context, record),
        autostart: !attachFirst,
        ...(checkpoint !== undefined && { checkpoint }),
        ...(trace && { trace: (step, microseconds) => trace.push({ name: `task: ${step}`, microseconds }) }),
      }),
    );
    faultPoint("start-created");
    if (attachFirst) {
      await measured("attach", () => fulfilAttachments(context, record, task as Task));
      await measured("exec", () => (task as Task).start());
    }
    if (sandbox.network) record.network = sandbox.network;
    else delete record.network;
    context.networks.started(record);
  } catch (error) {
    await abandon(context, record, task);
    throw recordFailure(context, record, error);
  }
  const before = record.state;
  record.state = { status: "running", pid: task.pid, startedAt: task.startedAt ?? nowNanoseconds(), previous: lastRun(record) };
  try {
    context.store.save(record);
  } catch (error) {
    record.state = before;
    await abandon(context, record, task);
    throw recordFailure(context, record, error);
  }
  live.trace = trace ?? [];
  live.task = task;
  monitorHealth(context, record, task, true);
  faultPoint("start-saved");
  emit(context, record, "start");
  watchTask(context, record, task);
}

export function stdioOf(record: ContainerRecord): StdioRequest {
  const { Tty, OpenStdin, StdinOnce } = record.config;
  const [height = 0, width = 0] = record.hostConfig.ConsoleSize ?? [];
  return { terminal: Tty, stdin: OpenStdin, stdinOnce: StdinOnce, ...(Tty && (height > 0 || width > 0) ? { consoleSize: { height, width } } : {}) };
}

/** The container's folder may not exist yet: one in another's network has no files of names. */
async function logOf(context: LifecycleContext, record: ContainerRecord): Promise<LogRequest> {
  const path = context.logPath(record);
  mkdirSync(dirname(path), { recursive: true, mode: 0o710 });
  const request = logRequest(record, { path, most: context.logBytes });
  await verifyLog(context, record);
  return request;
}

/** Connects those who attached before the start, so that they miss nothing. */
async function fulfilAttachments(context: LifecycleContext, record: ContainerRecord, task: Task): Promise<void> {
  const live = context.live(record.id);
  for (const attachment of [...live.pending]) {
    live.pending.delete(attachment);
    const stream = await task.attach(attachment.options);
    live.attached(stream);
    attachment.resolve(stream);
  }
}

async function abandon(context: LifecycleContext, record: ContainerRecord, task: Task | undefined): Promise<void> {
  const results = await Promise.allSettled([task?.signal(9, { all: true }).then(() => task.release()), context.networks.disconnect(record)]);
  for (const result of results) {
    if (result.status === "rejected" && codeOf(result.reason) !== "not-found") context.warn(`undoing the start of ${record.id}: ${messageOf(result.reason)}`);
  }
}

/** Keeps the failure in the record, with the exit code that shells use, and gives the error to throw. */
function recordFailure(context: LifecycleContext, record: ContainerRecord, error: unknown): GantryError {
  const failure = error instanceof GantryError ? (error.cause as RuntimeFailure | undefined) : undefined;
  const exitCode = failure?.kind === "program-not-found" ? 127 : failure?.kind === "program-not-executable" ? 126 : 128;
  const { startedAt, finishedAt } = lastRun(record);
  const status = record.state.status === "restarting" ? "exited" : record.state.status;
  const ended = { exitCode, oomKilled: false, error: messageOf(error), startedAt, finishedAt };
  record.state = status === "created" ? { status, ...ended } : { status: "exited", ...ended };
  delete record.network;
  persist(context, record);
  const live = context.live(record.id);
  const result = { exitCode, error: messageOf(error) };
  live.tellNeverHealthy(result);
  live.tellExit(result);
  return error instanceof GantryError ? error : new GantryError("system", messageOf(error), { cause: error });
}
