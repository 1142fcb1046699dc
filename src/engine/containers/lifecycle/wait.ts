/** Waiting for an end of a container. */
import { invalidParameter } from "../../../lib/errors.ts";
import type { LifecycleContext } from "./context.ts";
import type { WaitResult } from "./live.ts";
import { isRunning, lastRun } from "./state.ts";

export type WaitCondition = "not-running" | "next-exit" | "removed";

/** The condition of a query parameter; "" is not-running. */
export function parseWaitCondition(text: string): WaitCondition {
  if (text === "" || text === "not-running") return "not-running";
  if (text === "next-exit" || text === "removed") return text;
  throw invalidParameter(`invalid condition: "${text}"`);
}

/** Begins to wait; what is over already is answered at once. Throws not-found before that. */
export function wait(context: LifecycleContext, ref: string, condition: WaitCondition, signal: AbortSignal): WaitResult | Promise<WaitResult> {
  const record = context.store.find(ref);
  const live = context.live(record.id);
  if (condition === "next-exit") return live.nextExit(signal);
  if (condition === "removed") return live.nextRemoval(signal);
  if (isRunning(record)) return live.nextStop(signal);
  const { exitCode, error } = lastRun(record);
  return { exitCode, error };
}
