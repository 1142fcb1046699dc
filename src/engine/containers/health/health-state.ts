/** How probes change a container's health. Pure. */
import type { HealthcheckConfig } from "../../../core/container-config.ts";
import type { HealthState, ProbeResult } from "../../../core/container.ts";
import { messageOf } from "../../../lib/errors.ts";
import { probeTarget, type ProbeTarget } from "./url-probe.ts";

/** A health check with Docker's defaults filled in; times in milliseconds. */
export interface HealthCheck {
  /** A program to run, of CMD as it is, of CMD-SHELL by the image's shell; or a place to connect to, or why that cannot be. */
  probe: { command: string[] } | { target: ProbeTarget } | { problem: string };
  interval: number;
  timeout: number;
  startPeriod: number;
  startInterval: number;
  retries: number;
}

const NANOSECONDS = 1_000_000;
const LOG_LENGTH = 5;
const defaultShell = ["/bin/sh", "-c"];

/** What to run; undefined when there is no check (none given, or ["NONE"]). */
export function healthCheckOf(config: HealthcheckConfig | null | undefined, shell: readonly string[] | null | undefined): HealthCheck | undefined {
  const [kind, ...rest] = config?.Test ?? [];
  if (!config || (kind !== "CMD" && kind !== "CMD-SHELL")) return undefined;
  const milliseconds = (value: number, fallback: number): number => (value === 0 ? fallback : value / NANOSECONDS);
  return {
    probe: urlProbe(config) ?? { command: kind === "CMD" ? rest : [...(shell && shell.length > 0 ? shell : defaultShell), ...rest] },
    interval: milliseconds(config.Interval, 30_000),
    timeout: milliseconds(config.Timeout, 30_000),
    startPeriod: milliseconds(config.StartPeriod, 0),
    startInterval: milliseconds(config.StartInterval, 5_000),
    retries: config.Retries === 0 ? 3 : config.Retries,
  };
}

/** A bad URL can only be an image's: it is a probe that fails. */
function urlProbe({ Test }: HealthcheckConfig): HealthCheck["probe"] | undefined {
  try {
    const target = probeTarget(Test);
    return target && { target };
  } catch (error) {
    return { problem: messageOf(error) };
  }
}

export const initialHealth = (): HealthState => ({ status: "starting", failingStreak: 0, log: [] });

/** The health after a probe that began `sinceStart` milliseconds after the container. Failures in the start period of a container that was never healthy do not count. */
export function afterProbe(health: HealthState, result: ProbeResult, check: HealthCheck, sinceStart: number): HealthState {
  const log = [...health.log, result].slice(-LOG_LENGTH);
  if (result.exitCode === 0) return { status: "healthy", failingStreak: 0, log };
  if (health.status === "starting" && sinceStart < check.startPeriod) return { ...health, log };
  const failingStreak = health.failingStreak + 1;
  return { status: failingStreak >= check.retries ? "unhealthy" : health.status, failingStreak, log };
}

/** Milliseconds until the next probe. */
export function probeDelay(health: HealthState, check: HealthCheck, sinceStart: number): number {
  return health.status === "starting" && sinceStart < check.startPeriod ? check.startInterval : check.interval;
}
