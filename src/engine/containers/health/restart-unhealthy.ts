/** Containers that are started again when their health check says that they are unhealthy: Gantry's own, asked for by an annotation. */
import { byEngine } from "../../../core/caller.ts";
import type { ContainerRecord } from "../../../core/container.ts";
import type { HostConfig } from "../../../core/container-config.ts";
import { invalidParameter, messageOf } from "../../../lib/errors.ts";
import { quote } from "../../../lib/strconv.ts";
import type { LifecycleContext } from "../lifecycle/context.ts";
import { emit, lastRun } from "../lifecycle/state.ts";
import { stopRunning } from "../lifecycle/stop.ts";

export const RESTART_UNHEALTHY = "gantry.restart-unhealthy";

/** Throws for another value than true and false. */
export function restartsUnhealthy({ Annotations }: Pick<HostConfig, "Annotations">): boolean {
  const value = Annotations?.[RESTART_UNHEALTHY] ?? "false";
  if (value !== "true" && value !== "false") throw invalidParameter(`invalid annotation ${RESTART_UNHEALTHY}: ${quote(value)} is neither true nor false`);
  return value === "true";
}

/** Unless somebody stopped it meanwhile. What then does not run goes if it was to. */
async function startAgain(context: LifecycleContext, record: ContainerRecord): Promise<void> {
  try {
    if (record.stoppedByUser) return;
    record.restartCount++;
    await context.relaunch(record);
    emit(context, record, "restart");
  } finally {
    if (record.hostConfig.AutoRemove && !context.live(record.id).task) await context.remove(record);
  }
}

/** Stops the container as a user's restart would, and starts it again unless somebody stopped it meanwhile. Counts as a restart by policy. Failures are warned about. */
export function restartUnhealthy(context: LifecycleContext, record: ContainerRecord): void {
  const live = context.live(record.id);
  const { task } = live;
  if (live.restarting || live.stopping || !task) return;
  live.restarting = true;
  const run = async (): Promise<void> => {
    try {
      await stopRunning(context, record, { forRestart: true });
      await context.store.withContainer(record.id, async () => {
        if (context.store.get(record.id) !== record || record.state.status !== "exited" || live.task) return;
        await startAgain(context, record);
      });
    } finally {
      live.restarting = false;
      if (!live.task) live.tellNeverHealthy({ exitCode: lastRun(record).exitCode, error: "" });
    }
  };
  byEngine(() => void run().catch((error: unknown) => context.warn(`restarting the unhealthy container ${record.id}: ${messageOf(error)}`)));
}
