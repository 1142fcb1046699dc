/** A container's state in the forms that Docker's API has. */
import type { ContainerRecord, HealthState } from "../../../core/container.ts";
import { rfc3339Nano } from "../../../lib/rfc3339.ts";
import { humanDuration } from "../../../lib/units.ts";

/** Running as Docker counts it: paused and restarting containers run, too. */
export const countsAsRunning = (record: ContainerRecord): boolean => ["running", "paused", "restarting"].includes(record.state.status);

interface Times {
  exitCode: number;
  oomKilled: boolean;
  error: string;
  startedAt: bigint;
  finishedAt: bigint;
}

export function timesOf(record: ContainerRecord): Times {
  const { state } = record;
  if (state.status === "running" || state.status === "paused") {
    return { exitCode: 0, oomKilled: false, error: "", startedAt: state.startedAt, finishedAt: state.previous?.finishedAt ?? 0n };
  }
  return { exitCode: state.exitCode ?? 0, oomKilled: state.oomKilled ?? false, error: state.error ?? "", startedAt: state.startedAt ?? 0n, finishedAt: state.finishedAt ?? 0n };
}

/** The State object of inspect. */
export function inspectState(record: ContainerRecord): Record<string, unknown> {
  const { state } = record;
  const { exitCode, oomKilled, error, startedAt, finishedAt } = timesOf(record);
  return {
    Status: state.status,
    Running: countsAsRunning(record),
    Paused: state.status === "paused",
    Restarting: state.status === "restarting",
    OOMKilled: oomKilled,
    Dead: state.status === "dead",
    Pid: state.status === "running" || state.status === "paused" ? state.pid : 0,
    ExitCode: exitCode,
    Error: error,
    StartedAt: rfc3339Nano(startedAt),
    FinishedAt: rfc3339Nano(finishedAt),
    ...(record.health && { Health: inspectHealth(record.health) }),
  };
}

function inspectHealth(health: HealthState): Record<string, unknown> {
  return {
    Status: health.status,
    FailingStreak: health.failingStreak,
    Log: health.log.map(({ start, end, exitCode, output }) => ({ Start: start, End: end, ExitCode: exitCode, Output: output })),
  };
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** For how many milliseconds from `now` on the status text stays as it is, unless the container changes. Never too many. */
export function statusHolds(record: ContainerRecord, now: bigint): number {
  const { startedAt, finishedAt } = timesOf(record);
  if (record.state.status === "created") return Infinity;
  const since = countsAsRunning(record) && record.state.status !== "restarting" ? startedAt : finishedAt;
  const age = Number((now - since) / 1_000_000n);
  // Hours are rounded: they change at halves.
  const step = age < MINUTE ? SECOND : age < HOUR ? MINUTE : HOUR / 2;
  return step - (age % step);
}

/** The Status of a list's row. `now` and the record's times are nanoseconds since 1970. */
export function statusText(record: ContainerRecord, now: bigint): string {
  const { exitCode, startedAt, finishedAt } = timesOf(record);
  const since = (time: bigint): string => humanDuration(Number((now - time) / 1_000_000n));
  switch (record.state.status) {
    case "running":
      return `Up ${since(startedAt)}${record.health ? ` (${record.health.status === "starting" ? "health: starting" : record.health.status})` : ""}`;
    case "paused":
      return `Up ${since(startedAt)} (Paused)`;
    case "restarting":
      return `Restarting (${exitCode}) ${since(finishedAt)} ago`;
    case "removing":
      return "Removal In Progress";
    case "dead":
      return "Dead";
    case "created":
      return "Created";
    case "exited":
      if (startedAt === 0n) return "Created";
      return finishedAt === 0n ? "" : `Exited (${exitCode}) ${since(finishedAt)} ago`;
  }
}
