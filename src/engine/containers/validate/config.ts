/** Checks of Config. */
import { posix } from "node:path";
import type { ContainerConfig, HealthcheckConfig } from "../../../core/container-config.ts";
import { invalidParameter, messageOf } from "../../../lib/errors.ts";
import { parseSignal } from "../../../lib/signals.ts";
import { probeTarget } from "../health/url-probe.ts";

const MILLISECOND = 1_000_000;

/** Normalises WorkingDir and Env in place. */
export function validateConfig(config: ContainerConfig): void {
  if (config.WorkingDir !== "") {
    if (!config.WorkingDir.startsWith("/")) throw invalidParameter(`the working directory '${config.WorkingDir}' is invalid, it needs to be an absolute path`);
    config.WorkingDir = cleanPath(config.WorkingDir);
  }
  if (config.StopSignal !== "") validateStopSignal(config.StopSignal);
  for (const entry of config.Env ?? []) if (entry === "" || entry.startsWith("=")) throw invalidParameter(`invalid environment variable: ${entry}`);
  if (config.Healthcheck) validateHealthcheck(config.Healthcheck);
}

/** A path without ".", ".." and doubled slashes, as Go's path.Clean gives it. */
export function cleanPath(path: string): string {
  const clean = posix.normalize(path);
  return clean.length > 1 && clean.endsWith("/") ? clean.slice(0, -1) : clean;
}

/** Any number but 0 passes, as in Docker: a signal that does not exist shows at the stop. */
function validateStopSignal(signal: string): void {
  if (!/^[+-]?\d+$/.test(signal) || Number(signal) === 0) parseSignal(signal);
}

export function validateHealthcheck(check: HealthcheckConfig): void {
  for (const key of ["Interval", "Timeout"] as const) atLeastMillisecond(key, check[key]);
  if (check.Retries < 0) throw invalidParameter("Retries in Healthcheck cannot be negative");
  for (const key of ["StartPeriod", "StartInterval"] as const) atLeastMillisecond(key, check[key]);
  try {
    probeTarget(check.Test);
  } catch (error) {
    throw invalidParameter(messageOf(error));
  }
}

function atLeastMillisecond(key: string, value: number): void {
  if (value !== 0 && value < MILLISECOND) throw invalidParameter(`${key} in Healthcheck cannot be less than 1ms`);
}

/** Checked with the platform's settings, after HostConfig. */
export function validateHostname(config: ContainerConfig): void {
  if (Buffer.byteLength(config.Hostname) > 64) throw invalidParameter(`hostname ${JSON.stringify(config.Hostname)} is too long (maximum 64 bytes)`);
}
