/** A restart by policy that waits for its time. */
import { byEngine } from "../../../core/caller.ts";
import type { ContainerRecord } from "../../../core/container.ts";
import { isPortBusy } from "../../../core/network-ports.ts";
import { messageOf } from "../../../lib/errors.ts";
import type { LifecycleContext } from "./context.ts";
import { persist } from "./persist.ts";
import { nextDelay, shouldStartWithDaemon } from "./restart-policy.ts";
import { lastRun } from "./state.ts";

/** Starts a "restarting" container again after its delay. `failed`: its last start was none. */
export function scheduleRestart(context: LifecycleContext, record: ContainerRecord, { failed = false } = {}): void {
  const live = context.live(record.id);
  const { startedAt, finishedAt } = lastRun(record);
  live.restartDelay = nextDelay(live.restartDelay, startedAt === 0n || failed ? 0 : Number((finishedAt - startedAt) / 1_000_000n));
  const run = (): void => {
    live.restart = undefined;
    void context.store
      .withContainer(record.id, async () => {
        const current = context.store.get(record.id);
        if (current?.state.status !== "restarting") return;
        current.restartCount++;
        await launchByPolicy(context, current);
      })
      .catch((error: unknown) => context.warn(`restarting container ${record.id}: ${messageOf(error)}`));
  };
  const timer = byEngine(() => setTimeout(run, live.restartDelay));
  live.restart = { timer, cancel: () => clearTimeout(timer) };
}

/** A start that its policy wants. Where a host's port or address cannot be had now it is tried again, with the policy's delays; the caller holds the container's lock. */
export async function launchByPolicy(context: LifecycleContext, record: ContainerRecord): Promise<void> {
  try {
    await context.relaunch(record);
  } catch (error) {
    const ended = lastRun(record);
    if (!isPortBusy(error) || !shouldStartWithDaemon(record.hostConfig.RestartPolicy, { exitCode: ended.exitCode, restartCount: record.restartCount, stoppedByUser: record.stoppedByUser })) throw error;
    context.warn(`starting container ${record.id}: ${messageOf(error)}; it is tried again`);
    record.state = { status: "restarting", ...ended };
    persist(context, record);
    scheduleRestart(context, record, { failed: true });
  }
}

/** Ends a waiting restart. True when there was one. */
export function cancelRestart(context: LifecycleContext, id: string): boolean {
  const live = context.live(id);
  if (!live.restart) return false;
  live.restart.cancel();
  live.restart = undefined;
  return true;
}
