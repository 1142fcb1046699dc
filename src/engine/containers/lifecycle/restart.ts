/** Restarting by hand. */
import type { LifecycleContext } from "./context.ts";
import { start } from "./start.ts";
import { emit } from "./state.ts";
import { stopRunning, type StopOptions } from "./stop.ts";

/** Stops the container if it runs, and starts it. */
export async function restart(context: LifecycleContext, ref: string, options: StopOptions): Promise<void> {
  const record = context.store.find(ref);
  await stopRunning(context, record, { ...options, forRestart: true });
  if (record.state.status !== "running") await start(context, record.id);
  emit(context, record, "restart");
}
