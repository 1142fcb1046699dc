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
import { errnoText, startError } from "../shim/failure.ts";
import type { Section, ShimFailure } from "../shim/protocol.ts";
import { decodeReply } from "../shim/protocol.ts";
import type { Caller } from "./caller.ts";
import { codeOf } from "./caller.ts";

type PlanOp = HostOp | ParentOp | ChildOp | TeardownOp;

export interface OneshotOptions {
  caller: Caller;
  /** Where a terminal's master is sent. */
  consoleSocket: string;
  /** Where a pidfd of the process is sent. */
  pidfdSocket: string;
  /** The process gets as many of the caller's fds from 3 on. */
  preserveFds: number;
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
  return run(["create", folder, "--mountpoint", mountpointOf(plan, folder)], encodePlan(plan), { ...options, phase: "create", describe: (failure) => describe(plan, failure) });
}

/** The root is seen, by hooks and as a source of mounts, where the configuration says that it is. */
const mountpointOf = ({ child }: Plan, folder: string): string => child.find((op) => op.op === "rootBind")?.source ?? folder;

export async function runExec(plan: ExecPlan, init: number, options: OneshotOptions): Promise<Made> {
  return run(["exec", String(init)], encodeExecPlan(plan), { ...options, phase: "exec", describe: () => undefined });
}

export interface Restoration {
  criu: number;
  exited: Promise<number>;
}

/** The container's groups, and criu in them. `fds`: the control socket, then criu's own from 3 on; see native/shim/restore.h. */
export async function runRestore(plan: Plan, folder: string, { caller, fds, wait }: { caller: Caller; fds: number[]; wait: boolean }): Promise<Restoration> {
  const { pid, exited } = await run(["restore", folder, "--preserve-fds", String(fds.length), "--env", `PATH=${process.env["PATH"] ?? ""}`], encodePlan(plan), { caller, consoleSocket: "", pidfdSocket: "", preserveFds: 0, fds, wait, phase: "create", describe: (failure) => describe(plan, failure) });
  return { criu: pid, exited };
}

interface RunOptions extends OneshotOptions {
  phase: "create" | "exec";
  fds?: readonly number[];
  describe: (failure: ShimFailure) => { op: PlanOp; message: string | undefined } | undefined;
}

async function run(args: string[], plan: Buffer, { caller, consoleSocket, pidfdSocket, preserveFds, fds, wait, size, phase, describe: describeOp }: RunOptions): Promise<Made> {
  const line = [
    "gantry-shim",
    "exec-plan",
    ...args,
    ...(consoleSocket === "" ? [] : ["--console-socket", consoleSocket]),
    ...(pidfdSocket === "" ? [] : ["--pidfd-socket", pidfdSocket]),
    ...(preserveFds === 0 ? [] : ["--preserve-fds", String(preserveFds)]),
    ...(wait ? ["--wait"] : []),
    ...(size ? ["--size", `${size.width}x${size.height}`] : []),
  ];
  const child = caller.spawn({ path: join(nativeDir, "gantry-shim"), args: line, env: [], kind: "plan", input: plan, preserveFds, ...(fds && { fds }), forwardSignals: wait });
  const exited = child.exited.then(codeOf);
  // Reported where it is awaited; a create that fails never awaits it.
  exited.catch(() => {});
  const bytes = await child.reply;
  if (bytes.length === 0) throw systemError(`gantry-shim ended with code ${await exited} and without an answer`);
  const reply = decodeReply(bytes);
  if (reply.type === "failed") throw failureOf(reply.failure, { phase, describe: describeOp });
  if (reply.type !== "created" && reply.type !== "execStarted") throw systemError(`gantry-shim answered ${reply.type}`);
  return { pid: reply.pid, exited };
}

/** Whoever calls an OCI runtime puts "OCI runtime create failed: " before what it says. */
function failureOf(failure: ShimFailure, { phase, describe: describeOp }: Pick<RunOptions, "phase" | "describe">): GantryError {
  const described = describeOp(failure);
  const error = startError(new ShimError(failure), phase, () => described?.op.op);
  const message = error.message.replace(/^OCI runtime \w+ failed: (exec failed: )?/, "");
  if (described?.message === undefined) return new GantryError(error.code, message, { cause: error.cause });
  return new GantryError(error.code, `unable to start container process: error during container init: ${described.message}`, { cause: error.cause });
}

/** The op that failed, and what to say where the op's name and its errno say too little. */
function describe(plan: Plan, failure: ShimFailure): { op: PlanOp; message: string | undefined } | undefined {
  const { section, index, errno, step, subject } = failure;
  const ops: Partial<Record<Section, PlanOp[]>> = { host: plan.host, parent: plan.parent, child: plan.child, teardown: plan.teardown };
  const op = ops[section]?.[index];
  if (op === undefined) return undefined;
  const name = errnoName(errno);
  if (op.op === "hook") return { op, message: `error running ${op.stage} hook #${numberOf(plan.child, index, op.stage)}: ${name === "ETIMEDOUT" ? "it took too long" : subject}` };
  if (op.op === "mknod") return { op, message: `linux.devices: ${step} ${JSON.stringify(op.target)}: ${errnoText(errno)}` };
  if (op.op !== "mount" && op.op !== "bind") return { op, message: undefined };
  if (op.op === "mount" && op.noLinks && step === "target" && (name === "ELOOP" || name === "ENOTDIR")) return { op, message: `filesystem ${JSON.stringify(op.fstype)} must be mounted on ordinary directory` };
  const what = op.op === "bind" ? op.source : op.fstype;
  const kinds = step === "move_mount" && name === "EINVAL" ? "not a directory: Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type" : errnoText(errno);
  const option = step === "fsconfig" && subject !== "" ? ` ${JSON.stringify(subject)}` : "";
  return { op, message: `error mounting ${JSON.stringify(what)} to rootfs at ${JSON.stringify(op.target)} (${fieldOf(plan.child, index)}): ${step}${option}: ${kinds}` };
}

/** Each member of `mounts` is one op of these, in its order. */
const fieldOf = (ops: readonly PlanOp[], index: number): string => `mounts[${ops.slice(0, index).filter(({ op }) => op === "mount" || op === "bind" || op === "cgroupMount").length}]`;

/** Among the hooks of its stage, from 0. */
const numberOf = (ops: readonly PlanOp[], index: number, stage: string): number => ops.slice(0, index).filter((op) => op.op === "hook" && op.stage === stage).length;
