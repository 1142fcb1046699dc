/** Runs a container's health check for as long as its task lives. */
import { byEngine } from "../../../core/caller.ts";
import type { ContainerRecord } from "../../../core/container.ts";
import type { ProbeResult } from "../../../core/container.ts";
import type { Task } from "../../../core/runtime.ts";
import { nowNanoseconds } from "../../../lib/clock.ts";
import { messageOf } from "../../../lib/errors.ts";
import { unframe } from "../../../lib/multiplex.ts";
import { randomId } from "../../../lib/random-id.ts";
import type { LifecycleContext } from "../lifecycle/context.ts";
import { persist } from "../lifecycle/persist.ts";
import { emit } from "../lifecycle/state.ts";
import { afterProbe, healthCheckOf, initialHealth, probeDelay, type HealthCheck } from "./health-state.ts";
import { restartsUnhealthy, restartUnhealthy } from "./restart-unhealthy.ts";
import { probeUrl, type ProbeTarget } from "./url-probe.ts";

/** What of a probe's output is kept. */
const OUTPUT_BYTES = 4096;

/** How long output may come after the probe's end, from what it left behind. */
const LAST_OUTPUT_MILLISECONDS = 1000;

/** Begins to watch a task that was just started (`fresh`) or found again after a daemon restart. Ends with the task. */
export function monitorHealth(context: LifecycleContext, record: ContainerRecord, task: Task, fresh: boolean): void {
  const check = healthCheckOf(record.config.Healthcheck, record.config.Shell);
  if (!check) {
    delete record.health;
    return;
  }
  // As in Docker, what a restarted daemon finds is looked at anew; it does so at once.
  record.health = { ...initialHealth(), log: fresh ? [] : (record.health?.log ?? []) };
  let timer: NodeJS.Timeout | undefined;
  let over = false;
  const started = task.startedAt ?? nowNanoseconds();
  const sinceStart = (): number => Number((nowNanoseconds() - started) / 1_000_000n);
  const schedule = (): void => {
    if (over || !record.health) return;
    timer = setTimeout(() => void run(), probeDelay(record.health, check, sinceStart()));
    timer.unref();
  };
  const run = async (): Promise<void> => {
    if (record.state.status === "running") {
      const begun = sinceStart();
      const result = await probe(context, record, task, check);
      context.probed(result.exitCode === 0);
      if (over || !record.health) return;
      apply(context, record, afterProbe(record.health, result, check, begun));
      if (record.health.status === "unhealthy" && restartsUnhealthy(record.hostConfig)) restartUnhealthy(context, record);
    }
    schedule();
  };
  byEngine(fresh ? schedule : () => void run());
  void task.exited.then(() => {
    over = true;
    clearTimeout(timer);
  });
}

function apply(context: LifecycleContext, record: ContainerRecord, health: NonNullable<ContainerRecord["health"]>): void {
  const changed = record.health?.status !== health.status;
  record.health = health;
  persist(context, record);
  if (!changed) return;
  emit(context, record, `health_status: ${health.status}`);
  if (health.status === "healthy") context.live(record.id).tellHealthy();
}

type Done = (exitCode: number, output: string) => ProbeResult;

async function probe(context: LifecycleContext, record: ContainerRecord, task: Task, check: HealthCheck): Promise<ProbeResult> {
  const start = new Date().toISOString();
  const done: Done = (exitCode, output) => ({ start, end: new Date().toISOString(), exitCode, output });
  if ("problem" in check.probe) return done(-1, check.probe.problem);
  if ("target" in check.probe) return probeTarget(context, record, { target: check.probe.target, check, done });
  return probeByProgram(context, record, task, { command: check.probe.command, check, done });
}

async function probeTarget(context: LifecycleContext, record: ContainerRecord, { target, check, done }: { target: ProbeTarget; check: HealthCheck; done: Done }): Promise<ProbeResult> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new Error("too late")), check.timeout);
  try {
    const { exitCode, output } = await probeUrl(target, context.connectInside(record, target), late.signal);
    return late.signal.aborted ? done(-1, `Health check exceeded timeout (${seconds(check.timeout)})`) : done(exitCode, output);
  } catch (error) {
    return done(1, `${target.kind}://${target.host}${target.path}: ${messageOf(error)}`);
  } finally {
    clearTimeout(timer);
  }
}

async function probeByProgram(context: LifecycleContext, record: ContainerRecord, task: Task, { command, check, done }: { command: string[]; check: HealthCheck; done: Done }): Promise<ProbeResult> {
  try {
    const process = context.buildExecProcess(record, { ...probeExec, cmd: command, tty: false });
    const exec = await task.exec({
      id: randomId(),
      process,
      stdio: { terminal: false, stdin: false, stdinOnce: false },
      attach: { stdin: false, stdout: true, stderr: true },
    });
    const chunks: Buffer[] = [];
    let size = 0;
    exec.stream?.on("data", (chunk: Buffer) => {
      if (size < 2 * OUTPUT_BYTES) chunks.push(chunk);
      size += chunk.length;
    });
    exec.stream?.on("error", () => {});
    const ended = Promise.withResolvers<void>();
    for (const event of ["end", "close"]) exec.stream?.once(event, () => ended.resolve());
    const status = await inTime(exec.exited, check.timeout);
    if (!status) await exec.signal(9).catch(() => {});
    if (exec.stream) await inTime(ended.promise.then(() => true), LAST_OUTPUT_MILLISECONDS);
    exec.stream?.destroy();
    const output = unframe(Buffer.concat(chunks)).subarray(0, OUTPUT_BYTES).toString();
    if (status) return done(status.code, output);
    return done(-1, `Health check exceeded timeout (${seconds(check.timeout)})${output === "" ? "" : `: ${output}`}`);
  } catch (error) {
    return done(-1, messageOf(error));
  }
}

const probeExec = { user: "", privileged: false, consoleSize: undefined, attachStdin: false, attachStdout: true, attachStderr: true, detachKeys: "", env: [], workingDir: "" };

/** As Go prints a duration of whole milliseconds. */
function seconds(milliseconds: number): string {
  if (milliseconds < 1000) return `${milliseconds}ms`;
  const minutes = Math.floor(milliseconds / 60_000);
  const rest = (milliseconds % 60_000) / 1000;
  return minutes > 0 ? `${minutes}m${rest}s` : `${rest}s`;
}

async function inTime<T>(promise: Promise<T>, milliseconds: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => (timer = setTimeout(() => resolve(undefined), milliseconds)));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
