/** A restart by policy that waits for its time. */
import { byEngine } from "../../../core/caller.ts";
import type { ContainerRecord } from "../../../core/container.ts";
import { messageOf } from "../../../lib/errors.ts";
import type { LifecycleContext } from "./context.ts";
import { nextDelay } from "./restart-policy.ts";
import { lastRun } from "./state.ts";

/** Starts a "restarting" container again after its delay. */
export function scheduleRestart(context: LifecycleContext, record: ContainerRecord): void {
  const live = context.live(record.id);
  const { startedAt, finishedAt } = lastRun(record);
  live.restartDelay = nextDelay(live.restartDelay, startedAt === 0n ? 0 : Number((finishedAt - startedAt) / 1_000_000n));
  const run = (): void => {
    live.restart = undefined;
    void context.store
      .withContainer(record.id, async () => {
        const current = context.store.get(record.id);
        if (current?.state.status !== "restarting") return;
        current.restartCount++;
        await context.relaunch(current);
      })
      .catch((error: unknown) => context.warn(`restarting container ${record.id}: ${messageOf(error)}`));
  };
  const timer = byEngine(() => setTimeout(run, live.restartDelay));
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
