/** Holding containers still for a moment that nobody sees: no state changes and no event is sent. If the daemon dies meanwhile, its next start thaws them. */
import { codeOf } from "../../../lib/errors.ts";
import type { LifecycleContext } from "./context.ts";

/** Runs `work` while none of the containers does; none of them is started, ended or changed meanwhile. Those that do not run are left alone. */
export async function withFrozen<T>(context: LifecycleContext, ids: readonly string[], work: () => Promise<T>): Promise<T> {
  // Always in the same order, so that two of these do not wait for each other.
  const [first, ...rest] = [...new Set(ids)].sort();
  if (first === undefined) return await work();
  return await context.store.withContainer(first, async () => {
    const task = context.store.get(first)?.state.status === "running" ? context.live(first).task : undefined;
    const isFrozen = await task?.pause().then(() => true).catch(endedMeanwhile);
    try {
      return await withFrozen(context, rest, work);
    } finally {
      if (isFrozen) await task?.resume().catch(endedMeanwhile);
    }
  });
}

function endedMeanwhile(error: unknown): false {
  if (codeOf(error) !== "not-found") throw error;
  return false;
}
