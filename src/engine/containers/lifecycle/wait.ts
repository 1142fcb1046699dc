/** Waiting for an end of a container, or until it is healthy. */
import type { ContainerRecord } from "../../../core/container.ts";
import { conflict, invalidParameter } from "../../../lib/errors.ts";
import { healthCheckOf } from "../health/health-state.ts";
import type { LifecycleContext } from "./context.ts";
import type { LiveContainer, WaitResult } from "./live.ts";
import { hasTask, isRunning, lastRun } from "./state.ts";

/** "healthy" is Gantry's own. */
export type WaitCondition = "not-running" | "next-exit" | "removed" | "healthy";

/** The condition of a query parameter; "" is not-running. */
export function parseWaitCondition(text: string): WaitCondition {
  if (text === "" || text === "not-running") return "not-running";
  if (text === "next-exit" || text === "removed" || text === "healthy") return text;
  throw invalidParameter(`invalid condition: "${text}"`);
}

/** Begins to wait; what is over already is answered at once. Throws not-found before that. */
export function wait(context: LifecycleContext, ref: string, condition: WaitCondition, signal: AbortSignal): WaitResult | Promise<WaitResult> {
  const record = context.store.find(ref);
  const live = context.live(record.id);
  if (condition === "removed") return live.nextRemoval(signal);
  if (condition === "healthy") return waitHealthy(record, live, signal);
  if (condition === "next-exit" || isRunning(record)) return live.nextExit(signal);
  const { exitCode, error } = lastRun(record);
  return { exitCode, error };
}

function waitHealthy(record: ContainerRecord, live: LiveContainer, signal: AbortSignal): WaitResult | Promise<WaitResult> {
  if (!healthCheckOf(record.config.Healthcheck, record.config.Shell)) throw conflict(`container ${record.id} has no health check`);
  if (!isRunning(record)) throw conflict(`container ${record.id} is not running`);
  return hasTask(record) && record.health?.status === "healthy" ? { exitCode: 0, error: "" } : live.nextHealthy(signal);
}
