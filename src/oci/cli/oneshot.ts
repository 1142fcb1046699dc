/**
 * Runs a plan without a supervisor: native/shim/oneshot.h says how. The new process is a child of gantry-shim, which ends as
 * soon as the process is made (so that whoever is the caller's subreaper inherits it), or stays and ends with its code.
 */
import { join } from "node:path";
import { GantryError, systemError } from "../../lib/errors.ts";
import { nativeDir } from "../../sys/addon.ts";
import { encodeExecPlan, encodePlan } from "../plan/encode.ts";
import type { ChildOp, ExecPlan, HostOp, ParentOp, Plan, TeardownOp } from "../plan/types.ts";
import { ShimError, errnoName } from "../shim/client.ts";
import { startError } from "../shim/failure.ts";
import type { Section, ShimFailure } from "../shim/protocol.ts";
import { decodeReply } from "../shim/protocol.ts";
import type { Caller } from "./caller.ts";
import { codeOf } from "./caller.ts";

type PlanOp = HostOp | ParentOp | ChildOp | TeardownOp;

export interface OneshotOptions {
  caller: Caller;
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

async function run(args: string[], plan: Buffer, { caller, consoleSocket, wait, size, phase, op }: RunOptions): Promise<Made> {
  const line = ["gantry-shim", "exec-plan", ...args, ...(consoleSocket === "" ? [] : ["--console-socket", consoleSocket]), ...(wait ? ["--wait"] : []), ...(size ? ["--size", `${size.width}x${size.height}`] : [])];
  const child = caller.spawn({ path: join(nativeDir, "gantry-shim"), args: line, env: [], kind: "plan", input: plan, forwardSignals: wait });
  const exited = child.exited.then(codeOf);
  // Reported where it is awaited; a create that fails never awaits it.
  exited.catch(() => {});
  const bytes = await child.reply;
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

/** The op that failed. */
function opOf(plan: Plan, { section, index }: ShimFailure): PlanOp | undefined {
  const ops: Partial<Record<Section, PlanOp[]>> = { host: plan.host, parent: plan.parent, child: plan.child, teardown: plan.teardown };
  return ops[section]?.[index];
}
