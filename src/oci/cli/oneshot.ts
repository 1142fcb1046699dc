/**
 * Runs a plan without a supervisor: native/shim/oneshot.h says how. The new process is a child of gantry-shim, which ends as
 * soon as the process is made (so that whoever is the caller's subreaper inherits it), or stays and ends with its code.
 */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { isatty } from "node:tty";
import type { Duplex, Readable } from "node:stream";
import { GantryError, systemError } from "../../lib/errors.ts";
import { nativeDir } from "../../sys/addon.ts";
import { encodeExecPlan, encodePlan } from "../plan/encode.ts";
import type { ChildOp, ExecPlan, HostOp, ParentOp, Plan, TeardownOp } from "../plan/types.ts";
import { ShimError, errnoName } from "../shim/client.ts";
import { startError } from "../shim/failure.ts";
import type { Section, ShimFailure } from "../shim/protocol.ts";
import { decodeReply } from "../shim/protocol.ts";

type PlanOp = HostOp | ParentOp | ChildOp | TeardownOp;

export interface OneshotOptions {
  /** Where a terminal's master is sent. */
  consoleSocket: string;
  /** gantry-shim stays until the process has ended. */
  wait: boolean;
  /** Of an exec's terminal. */
  size?: { width: number; height: number };
}

export interface Made {
  pid: number;
  /** The process's exit code; with `wait`. */
  exited: Promise<number>;
}

export async function runCreate(plan: Plan, folder: string, options: OneshotOptions): Promise<Made> {
  return run(["create", folder], encodePlan(plan), { ...options, phase: "create", op: (failure) => opOf(plan, failure) });
}

export async function runExec(plan: ExecPlan, init: number, options: OneshotOptions): Promise<Made> {
  return run(["exec", String(init)], encodeExecPlan(plan), { ...options, phase: "exec", op: () => undefined });
}

interface RunOptions extends OneshotOptions {
  phase: "create" | "exec";
  op: (failure: ShimFailure) => PlanOp | undefined;
}

async function run(args: string[], plan: Buffer, { consoleSocket, wait, size, phase, op }: RunOptions): Promise<Made> {
  const line = ["exec-plan", ...args, ...(consoleSocket === "" ? [] : ["--console-socket", consoleSocket]), ...(wait ? ["--wait"] : []), ...(size ? ["--size", `${size.width}x${size.height}`] : [])];
  const child = spawn(join(nativeDir, "gantry-shim"), line, { stdio: ["inherit", "inherit", "inherit", "pipe", "pipe"], env: {} });
  const exited = exitOf(child);
  if (wait) forwardSignals(child);
  // Reported where it is awaited; a create that fails never awaits it.
  exited.catch(() => {});
  const [planPipe, replyPipe] = [child.stdio[3] as Duplex, child.stdio[4] as Readable];
  planPipe.on("error", () => {});
  planPipe.end(plan);
  const bytes = await readAll(replyPipe);
  if (bytes.length === 0) throw systemError(`gantry-shim ended with code ${await exited} and without an answer`);
  const reply = decodeReply(bytes);
  if (reply.type === "failed") throw failureOf(reply.failure, { phase, op });
  if (reply.type !== "created" && reply.type !== "execStarted") throw systemError(`gantry-shim answered ${reply.type}`);
  return { pid: reply.pid, exited };
}

/** Whoever calls an OCI runtime puts "OCI runtime create failed: " before what it says. */
function failureOf(failure: ShimFailure, { phase, op: opOf }: Pick<RunOptions, "phase" | "op">): GantryError {
  const op = opOf(failure);
  const error = startError(new ShimError(failure), phase, () => op?.op);
  return new GantryError(error.code, specialMessage(failure, op) ?? error.message.replace(/^OCI runtime \w+ failed: /, ""), { cause: error.cause });
}

/** Where runc's words say more than the step and its errno. */
function specialMessage({ errno, step, subject }: ShimFailure, op: PlanOp | undefined): string | undefined {
  const name = errnoName(errno);
  if (op?.op === "hook") return `error running ${op.stage} hook ${JSON.stringify(subject)}: ${name === "ETIMEDOUT" ? "it took too long" : "it failed"}`;
  if (op?.op === "mount" && op.noLinks && step === "target" && (name === "ELOOP" || name === "ENOTDIR")) return `filesystem ${JSON.stringify(op.fstype)} must be mounted on ordinary directory`;
  return undefined;
}

function exitOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code, signal) => (code === null ? reject(systemError(`gantry-shim was ended by ${signal}`)) : resolve(code)));
  });
}

const forwarded: NodeJS.Signals[] = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT", "SIGIO", "SIGPWR", "SIGSYS", "SIGTSTP", "SIGURG", "SIGVTALRM", "SIGWINCH", "SIGXCPU", "SIGXFSZ"];
/** A terminal sends these to all of its foreground processes: gantry-shim has had its own. */
const fromTerminal = new Set<NodeJS.Signals>(["SIGHUP", "SIGINT", "SIGQUIT", "SIGTSTP", "SIGWINCH"]);

function forwardSignals(child: ChildProcess): void {
  const onTerminal = [0, 1, 2].some((fd) => isatty(fd));
  const handlers = forwarded.map((signal) => [signal, () => onTerminal && fromTerminal.has(signal) || child.kill(signal)] as const);
  for (const [signal, handler] of handlers) process.on(signal, handler);
  child.on("exit", () => {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  });
}

async function readAll(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** The op that failed. */
function opOf(plan: Plan, { section, index }: ShimFailure): PlanOp | undefined {
  const ops: Partial<Record<Section, PlanOp[]>> = { host: plan.host, parent: plan.parent, child: plan.child, teardown: plan.teardown };
  return ops[section]?.[index];
}
