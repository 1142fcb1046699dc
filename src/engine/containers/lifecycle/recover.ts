/** After a daemon's start: finds the tasks that ran on, records the ends that nobody saw, and starts what policies ask for. */
import type { ContainerRecord } from "../../../core/container.ts";
import type { RecoveredTask, Task } from "../../../core/runtime.ts";
import { nowNanoseconds } from "../../../lib/clock.ts";
import { codeOf, messageOf } from "../../../lib/errors.ts";
import { initialHealth } from "../health/health-state.ts";
import { monitorHealth } from "../health/monitor.ts";
import { SIGKILL } from "../../../lib/signals.ts";
import type { LifecycleContext } from "./context.ts";
import { recordExit, watchTask } from "./exit.ts";
import { forwardLeftovers } from "./log-forwarding.ts";
import { shouldStartWithDaemon } from "./restart-policy.ts";
import { launchByPolicy } from "./restart-timer.ts";
import { inStartOrder } from "./start-order.ts";
import { hasTask, lastRun } from "./state.ts";

export interface RecoverOptions {
  /** false: what outlived the daemon is ended now. */
  keepRunning: boolean;
}

/** Reconciles every record with the kernel. Failures concern one container each and are warned about. */
export async function recoverAll(context: LifecycleContext, options: RecoverOptions): Promise<void> {
  const records = [...context.store.list()];
  await Promise.all(records.map((record) => context.store.withContainer(record.id, () => recoverOne(context, record, options)).catch((error: unknown) => context.warn(`recovering container ${record.id}: ${messageOf(error)}`))));
  for (const record of records) if (isDue(record)) context.live(record.id).due = record.state;
  forwardLeftovers(context, records);
  await purgeOrphans(context, new Set(records.map((record) => record.id)));
}

/** Starts what its restart policy wanted running at recovery, unless users changed it since. Called when the API answers already: a start may take long. */
export async function startByPolicy(context: LifecycleContext): Promise<void> {
  for (const record of inStartOrder([...context.store.list()], (ref) => find(context, ref))) {
    const live = context.live(record.id);
    const { due } = live;
    live.due = undefined;
    if (due === undefined) continue;
    await context.store
      .withContainer(record.id, async () => {
        if (record.state === due) await launchByPolicy(context, record);
      })
      .catch((error: unknown) => context.warn(`starting container ${record.id}: ${messageOf(error)}`));
  }
}

function find(context: LifecycleContext, ref: string): ContainerRecord | undefined {
  try {
    return context.store.find(ref);
  } catch {
    return undefined;
  }
}

function isDue(record: ContainerRecord): boolean {
  const { hostConfig, restartCount, stoppedByUser, state } = record;
  if (state.status === "restarting") return true;
  return state.status === "exited" && shouldStartWithDaemon(hostConfig.RestartPolicy, { exitCode: lastRun(record).exitCode, restartCount, stoppedByUser });
}

async function recoverOne(context: LifecycleContext, record: ContainerRecord, options: RecoverOptions): Promise<void> {
  if (record.state.status === "removing") return context.remove(record);
  const found = await context.runtime.recover(record.id);
  const recovered = found.kind === "running" && !options.keepRunning ? await ended(found.task) : found;
  if (recovered.kind === "running") return adopt(context, record, recovered.task);
  if (!hasTask(record)) {
    if (recovered.kind === "exited") await collect(context, record);
    return;
  }
  const exit = recovered.kind === "exited" ? recovered.exit : { code: 255, at: nowNanoseconds(), oomKilled: false };
  recordExit(context, record, exit);
  // The next run's health counts, as soon as the daemon answers.
  if (record.state.status === "restarting" && record.health) record.health = initialHealth();
  await collect(context, record);
  if (record.hostConfig.AutoRemove && record.state.status === "exited") await context.remove(record);
}

async function ended(task: Task): Promise<RecoveredTask> {
  await task.signal(SIGKILL, { all: true }).catch(() => {});
  await task.resume().catch(() => {});
  const exit = await task.exited;
  await task.release();
  return { kind: "exited", exit };
}

/** A task that ran on. One that the record does not know of (the daemon died in the middle of a start) is adopted when its program runs, and ended otherwise. */
async function adopt(context: LifecycleContext, record: ContainerRecord, task: Task): Promise<void> {
  if (task.startedAt === undefined) {
    await task.signal(SIGKILL, { all: true }).catch(() => {});
    await task.release();
    await context.networks.disconnect(record);
    return;
  }
  if (await wasRecorded(record, task)) {
    await Promise.all([task.release(), context.networks.disconnect(record)]);
    return;
  }
  await freezeAsRecorded(context, record, task);
  context.live(record.id).task = task;
  if (!hasTask(record)) {
    record.state = { status: "running", pid: task.pid, startedAt: task.startedAt, previous: lastRun(record) };
    context.store.save(record);
  }
  monitorHealth(context, record, task, false);
  watchTask(context, record, task);
}

/** Takes away what an ended task left. */
async function collect(context: LifecycleContext, record: ContainerRecord): Promise<void> {
  await context.networks.disconnect(record);
  await context.runtime.purge(record.id);
}

/** The daemon died between an exit's record and its cleaning up. */
async function wasRecorded(record: ContainerRecord, task: Task): Promise<boolean> {
  if (hasTask(record)) return false;
  const exit = await Promise.race([task.exited, new Promise<undefined>((resolve) => setImmediate(resolve, undefined))]);
  return exit !== undefined && exit.at === lastRun(record).finishedAt;
}

/** A daemon that died while it froze or thawed told nobody: the record counts. */
async function freezeAsRecorded(context: LifecycleContext, record: ContainerRecord, task: Task): Promise<void> {
  const { status } = record.state;
  const done = status === "paused" ? task.pause() : task.resume();
  await done.catch((error: unknown) => {
    if (codeOf(error) !== "not-found") context.warn(`${status === "paused" ? "freezing" : "thawing"} container ${record.id}: ${messageOf(error)}`);
  });
}

/** Tasks that no record owns: their container was removed while its task could not be. */
async function purgeOrphans(context: LifecycleContext, known: ReadonlySet<string>): Promise<void> {
  for (const id of await context.runtime.list()) {
    if (known.has(id)) continue;
    await context.runtime.purge(id).catch((error: unknown) => context.warn(`removing what is left of task ${id}: ${messageOf(error)}`));
  }
}
