/** Stopping and killing. Neither holds the container's lock while it waits: the exit needs it. */
import { currentCaller } from "../../../core/caller.ts";
import type { ContainerRecord } from "../../../core/container.ts";
import type { Task } from "../../../core/runtime.ts";
import { codeOf, conflict, GantryError, messageOf, notModified, systemError } from "../../../lib/errors.ts";
import { parseSignal, SIGKILL } from "../../../lib/signals.ts";
import type { LifecycleContext } from "./context.ts";
import type { WaitResult } from "./live.ts";
import { thaw as thawRecord } from "./pause.ts";
import { persist } from "./persist.ts";
import { hasPolicy } from "./restart-policy.ts";
import { cancelRestart } from "./restart-timer.ts";
import { emit, hasTask, isRunning } from "./state.ts";

export interface StopOptions {
  /** Seconds until SIGKILL; negative: never; undefined: the container's own, or ten. */
  timeout?: number;
  signal?: string;
  /** Of a restart: no restart policy and no auto-remove in between, and the user did not stop it for good. */
  forRestart?: boolean;
}

/**
 * A program that has run for less may not have said yet what it does with the stop signal; without that the kernel drops the signal of a
 * container's first process, and the stop takes its whole time. Docker's start takes longer than this.
 */
const SETTLING_MILLISECONDS = 50;

/** How long SIGKILL may take before the task is called stuck. */
const KILL_MILLISECONDS = 10_000;

/** Stops a container. "not-modified" when it does not run. */
export async function stop(context: LifecycleContext, ref: string, options: StopOptions): Promise<void> {
  const record = context.store.find(ref);
  if (!isRunning(record)) throw notModified(`container ${record.id} is already stopped`);
  await stopRunning(context, record, options).catch((error: unknown) => {
    throw new GantryError("system", `cannot stop container: ${ref}: ${messageOf(error)}`, { cause: error });
  });
}

/** The same without complaint when it does not run. */
export async function stopRunning(context: LifecycleContext, record: ContainerRecord, options: StopOptions): Promise<void> {
  if (await endRestarting(context, record, options)) return;
  if (!hasTask(record)) return;
  const signal = parseSignal(options.signal ?? (record.config.StopSignal || "SIGTERM"));
  const live = context.live(record.id);
  live.stopping = true;
  live.stopEvent = { by: currentCaller() };
  if (!options.forRestart) markStopped(context, record);
  const timeout = options.timeout ?? record.config.StopTimeout ?? context.defaultStopTimeout;
  const ended = new AbortController();
  const exit = live.nextExit(ended.signal);
  try {
    const first = timeout === 0 || signal === SIGKILL ? 0 : settling(record);
    if (first > 0 && (await within(exit, first))) return;
    await deliver(context, record, signal);
    if (await within(exit, timeout < 0 ? undefined : timeout * 1000)) return;
    await deliver(context, record, SIGKILL);
    if (!(await within(exit, KILL_MILLISECONDS))) throw systemError(`container ${record.id} did not end within ${KILL_MILLISECONDS / 1000} seconds of SIGKILL; a process of it is stuck in the kernel`);
  } finally {
    exit.catch(() => {});
    ended.abort(new Error("no longer waited for"));
  }
}

/** How much of its first moments the container has before it, in milliseconds. */
function settling({ state }: ContainerRecord): number {
  const startedAt = "startedAt" in state ? (state.startedAt ?? 0n) : 0n;
  return Math.min(SETTLING_MILLISECONDS, Math.max(0, Number(startedAt / 1_000_000n) + SETTLING_MILLISECONDS - Date.now()));
}

/** Before the daemon's end: what policies want is started again with the next one. Failures are warned about. */
export async function stopAll(context: LifecycleContext): Promise<void> {
  const running = [...context.store.list()].filter(isRunning);
  await Promise.all(running.map((record) => stopRunning(context, record, { forRestart: true }).catch((error: unknown) => context.warn(`stopping container ${record.id}: ${messageOf(error)}`))));
}

/** Sends a signal by name or number, SIGKILL by default. A kill that ends the container also ends its restarting. */
export async function kill(context: LifecycleContext, ref: string, signalName: string | undefined): Promise<void> {
  try {
    const signal = signalName === undefined || signalName === "" ? SIGKILL : parseSignal(signalName);
    const record = context.store.find(ref);
    if (signal === SIGKILL && (await endRestarting(context, record, {}))) return;
    if (!hasTask(record)) throw conflict(`container ${record.id} is not running`);
    const live = context.live(record.id);
    const stopSignal = record.config.StopSignal;
    const ends = stopSignal && signal !== SIGKILL ? parseSignal(stopSignal) === signal : true;
    if (ends) markStopped(context, record);
    if (signal !== SIGKILL) return await deliver(context, record, signal, ends);
    live.stopping = true;
    const waiting = new AbortController();
    const exit = live.nextExit(waiting.signal);
    try {
      await deliver(context, record, SIGKILL);
      if (!(await within(exit, KILL_MILLISECONDS))) throw systemError("tried to kill container, but did not receive an exit event");
    } finally {
      exit.catch(() => {});
      waiting.abort(new Error("no longer waited for"));
    }
  } catch (error) {
    throw new GantryError(codeOf(error), `cannot kill container: ${ref}: ${messageOf(error)}`, { cause: error });
  }
}

/** SIGKILL and the exit waited for: for a forced removal. */
export async function killAndWait(context: LifecycleContext, record: ContainerRecord): Promise<void> {
  if (isRunning(record)) await kill(context, record.id, undefined);
}

/** Signals init, and, when that `ends` it, thaws a frozen container, which could not act on it. */
async function deliver(context: LifecycleContext, record: ContainerRecord, signal: number, ends = true): Promise<void> {
  const task = context.live(record.id).task;
  if (!task) return;
  try {
    await task.signal(signal);
    emit(context, record, "kill", { signal: String(signal) });
    if (ends) await thaw(context, record, task, signal);
  } catch (error) {
    // It ended by itself meanwhile: what was wanted.
    if (codeOf(error) !== "not-found") throw error;
  }
}

/** Behind a pause that is under way: it would freeze what is about to die. Nobody hears of the thawing of what SIGKILL ends at once. */
async function thaw(context: LifecycleContext, record: ContainerRecord, task: Task, signal: number): Promise<void> {
  await context.store.withContainer(record.id, async () => {
    if (record.state.status !== "paused" || context.live(record.id).task !== task) return;
    if (signal === SIGKILL) await task.resume();
    else await thawRecord(context, record);
  });
}

/** Without a policy nobody would start it again: it is written with the end. */
function markStopped(context: LifecycleContext, record: ContainerRecord): void {
  if (record.stoppedByUser) return;
  record.stoppedByUser = true;
  if (hasPolicy(record.hostConfig.RestartPolicy)) persist(context, record);
}

/** Ends the waiting of a container that its policy would start again. True when it was such a one. */
async function endRestarting(context: LifecycleContext, record: ContainerRecord, options: StopOptions): Promise<boolean> {
  if (record.state.status !== "restarting") return false;
  return context.store.withContainer(record.id, async () => {
    if (record.state.status !== "restarting") return false;
    cancelRestart(context, record.id);
    record.state = { ...record.state, status: "exited" };
    if (!options.forRestart) record.stoppedByUser = true;
    context.store.save(record);
    context.live(record.id).tellExit({ exitCode: record.state.exitCode, error: "" });
    return true;
  });
}

/** True when it ended in time. */
async function within(exit: Promise<WaitResult>, milliseconds: number | undefined): Promise<boolean> {
  if (milliseconds === undefined) return exit.then(() => true);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => (timer = setTimeout(() => resolve(false), milliseconds)));
  try {
    return await Promise.race([exit.then(() => true as const), late]);
  } finally {
    clearTimeout(timer);
  }
}
