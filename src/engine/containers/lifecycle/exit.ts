/** What follows when a task has ended: network given back, state, events, waiters, restart policy, auto-remove. */
import { byEngine } from "../../../core/caller.ts";
import type { ContainerRecord } from "../../../core/container.ts";
import type { ExitStatus, Task } from "../../../core/runtime.ts";
import { messageOf } from "../../../lib/errors.ts";
import { faultPoint } from "../../../lib/fault.ts";
import type { LifecycleContext } from "./context.ts";
import { compressLog } from "./change-log.ts";
import { forwardLog } from "./log-forwarding.ts";
import { persist } from "./persist.ts";
import { shouldRestart } from "./restart-policy.ts";
import { scheduleRestart } from "./restart-timer.ts";
import { emit, hasTask } from "./state.ts";

/** Has the exit handled whenever it comes. */
export function watchTask(context: LifecycleContext, record: ContainerRecord, task: Task): void {
  context.live(record.id).compressing = false;
  compressLog(context, record, task);
  forwardLog(context, record, task.exited);
  byEngine(() => {
    void ended(context, record.id, task).catch((error: unknown) => context.warn(`the exit of container ${record.id}: ${messageOf(error)}`));
  });
}

async function ended(context: LifecycleContext, id: string, task: Task): Promise<void> {
  const status = await task.exited;
  const carried = context.live(id).outputCarried();
  if (carried) await carried;
  await context.store.withContainer(id, () => handleExit(context, id, task, status));
}

async function handleExit(context: LifecycleContext, id: string, task: Task, status: ExitStatus): Promise<void> {
  const record = context.store.get(id);
  const live = context.live(id);
  if (!record || live.task !== task) return;
  live.task = undefined;
  recordExit(context, record, status);
  faultPoint("exit-recorded");
  const failed = (error: unknown): void => context.warn(`releasing what container ${id} used: ${messageOf(error)}`);
  live.released = task.release().catch(failed);
  await context.networks.disconnect(record).catch(failed);
  if (record.state.status === "restarting") scheduleRestart(context, record);
  else if (record.hostConfig.AutoRemove && !live.restarting) await context.remove(record);
}

/** Puts the exit into the record and tells everybody. Used for an exit that is seen and for one that happened while the daemon was away. */
export function recordExit(context: LifecycleContext, record: ContainerRecord, status: ExitStatus): void {
  const live = context.live(record.id);
  const startedAt = hasTask(record) && "startedAt" in record.state ? (record.state.startedAt ?? 0n) : 0n;
  const restart = shouldRestart(record.hostConfig.RestartPolicy, {
    exitCode: status.code,
    restartCount: record.restartCount,
    stoppedByUser: record.stoppedByUser || live.stopping,
  });
  const end = { exitCode: status.code, oomKilled: status.oomKilled, error: "", startedAt, finishedAt: status.at };
  record.state = restart ? { status: "restarting", ...end } : { status: "exited", ...end };
  delete record.network;
  live.execs.clear();
  persist(context, record);
  if (status.oomKilled) emit(context, record, "oom");
  if (live.stopEvent) {
    emit(context, record, "stop", {}, live.stopEvent.by);
    live.stopEvent = undefined;
  }
  const seconds = startedAt === 0n ? 0n : (status.at - startedAt) / 1_000_000_000n;
  emit(context, record, "die", { execDuration: String(seconds < 0n ? 0n : seconds), exitCode: String(status.code) });
  const result = { exitCode: status.code, error: "" };
  live.tellExit(result);
  if (!restart && !live.restarting) live.tellNeverHealthy(result);
}
