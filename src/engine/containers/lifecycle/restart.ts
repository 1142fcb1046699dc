/** Restarting by hand. */
import { codeOf } from "../../../lib/errors.ts";
import type { LifecycleContext } from "./context.ts";
import { start } from "./start.ts";
import { emit } from "./state.ts";
import { stopRunning, type StopOptions } from "./stop.ts";

/** Stops the container if it runs, and starts it. */
export async function restart(context: LifecycleContext, ref: string, options: StopOptions): Promise<void> {
  const record = context.store.find(ref);
  const live = context.live(record.id);
  live.restarting = true;
  try {
    await stopRunning(context, record, { ...options, forRestart: true });
    await start(context, record.id).catch((error: unknown) => {
      // Somebody else was faster: what was wanted.
      if (codeOf(error) !== "not-modified") throw error;
    });
  } finally {
    live.restarting = false;
  }
  emit(context, record, "restart");
}
