/** Starting again: by the policy after a delay, or by hand. */
import type { ContainerRecord } from "../../../core/container.ts";
import { messageOf } from "../../../lib/errors.ts";
import type { LifecycleContext } from "./context.ts";
import { nextDelay } from "./restart-policy.ts";
import { launch, start } from "./start.ts";
import { emit, lastRun } from "./state.ts";
import { stopRunning, type StopOptions } from "./stop.ts";

/** Starts a "restarting" container again after its delay. */
export function scheduleRestart(context: LifecycleContext, record: ContainerRecord): void {
  const live = context.live(record.id);
  const { startedAt, finishedAt } = lastRun(record);
  live.restartDelay = nextDelay(live.restartDelay, startedAt === 0n ? 0 : Number((finishedAt - startedAt) / 1_000_000n));
  const timer = setTimeout(() => {
    live.restart = undefined;
    void context.store
      .withContainer(record.id, async () => {
        const current = context.store.get(record.id);
        if (current?.state.status !== "restarting") return;
        current.restartCount++;
        await launch(context, current);
      })
      .catch((error: unknown) => context.warn(`restarting container ${record.id}: ${messageOf(error)}`));
  }, live.restartDelay);
  live.restart = { timer, cancel: () => clearTimeout(timer) };
}

/** Ends a waiting restart. True when there was one. */
export function cancelRestart(context: LifecycleContext, id: string): boolean {
  const live = context.live(id);
  if (!live.restart) return false;
  live.restart.cancel();
  live.restart = undefined;
  return true;
}

/** Stops the container if it runs, and starts it. */
export async function restart(context: LifecycleContext, ref: string, options: StopOptions): Promise<void> {
  const record = context.store.find(ref);
  await stopRunning(context, record, { ...options, forRestart: true });
  if (record.state.status !== "running") await start(context, record.id);
  emit(context, record, "restart");
}
