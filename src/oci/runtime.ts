/**
 * Runs containers by plans: compiles a configuration, has the launcher fork a shim for it, and is the shim's client from then
 * on. Holds no state of its own that a restart would lose: everything about a task is in its run folder and its shim.
 */
import { closeSync } from "node:fs";
import { basename, join } from "node:path";
import type { RecoveredTask, Runtime, RuntimeProgram, Task, TaskRequest } from "../core/runtime.ts";
import { messageOf } from "../lib/errors.ts";
import { writeBundle } from "./foreign/bundle.ts";
import { createPlan } from "./foreign/plan.ts";
import { RuntimeCommands } from "./foreign/program.ts";
import { createError, ForeignTask, purgeTask } from "./foreign/task.ts";
import type { OciResources, OciSeccomp } from "../lib/oci-spec.ts";
import { SIGKILL } from "../lib/signals.ts";
import { nativeDir } from "../sys/addon.ts";
import { connectSeqpacket, sealedMemory, socketPair } from "../sys/seqpacket.ts";
import { compile } from "./compile/compile.ts";
import type { HostFacts } from "./host.ts";
import { encodePlan } from "./plan/encode.ts";
import { planText } from "./plan/print.ts";
import type { Plan } from "./plan/types.ts";
import { settledStatus, ShimConnection, ShimGone } from "./shim/client.ts";
import { startError } from "./shim/failure.ts";
import type { TaskFolder } from "./shim/folder.ts";
import { listTaskFolders, readExitRecord, readRuntime, readSpec, taskFolder, writeSpec } from "./shim/folder.ts";
import { Launcher } from "./shim/launcher.ts";
import { compileSeccomp } from "./seccomp/compile.ts";
import type { ShimFailure, ShimReply, Timing } from "./shim/protocol.ts";
import { encodeCreate, inlinePlanBytes } from "./shim/protocol.ts";
import { logLimits } from "./shim/attributes.ts";
import type { TaskUnits } from "./task.ts";
import { ShimTask } from "./task.ts";

export interface RuntimeOptions {
  /** Run folders are <execRoot>/<id>; the launcher's socket is beside them. */
  execRoot: string;
  host: HostFacts;
  /** Gets what a configuration asks for and the machine cannot give, and what went wrong in the background. */
  warn?: (message: string) => void;
  /** Makes plans from requests; by default compile(). */
  compile?: (request: TaskRequest) => Plan;
  /** Who makes the groups of tasks, if not the shims. */
  units?: TaskUnits;
  /** Change the root without pivot_root (DOCKER_RAMDISK). */
  noPivot?: boolean;
}

/** Restores by its command line: see docs/runtime.md. What it does for one container is too little for a resident process. */
const ownProgram: RuntimeProgram = { path: join(nativeDir, "gantry-runtime"), args: [], env: ["GANTRY_RESIDENT=off"] };

export class ShimRuntime implements Runtime {
  /** Also keeps fds for the daemon. */
  readonly launcher: Launcher;
  readonly #options: RuntimeOptions;
  readonly #tasks = new Set<ShimTask>();
  /** Forked ahead, for the next task: waits for its CREATE, and ends with us. */
  #spare: Promise<ShimConnection | undefined> | undefined;
  #closed = false;

  constructor(options: RuntimeOptions) {
    this.#options = options;
    this.launcher = new Launcher(join(options.execRoot, "launcher.sock"));
  }

  /** What the first start would otherwise wait for: a launcher, and the filter that most containers have. */
  async prepare(seccomp: OciSeccomp | undefined): Promise<void> {
    await this.launcher.open();
    this.#keepSpare();
    if (seccomp) compileSeccomp(seccomp, this.#options.host.architecture);
  }

  async create(request: TaskRequest): Promise<Task> {
    const program = request.runtime ?? (request.checkpoint === undefined ? undefined : ownProgram);
    if (program) return this.#createForeign({ ...request, runtime: program }, program);
    const { units } = this.#options;
    if (units === undefined) return this.#create(request);
    const planned = units.plan(request.spec, request.id);
    const { later } = planned;
    const task = await units.make(planned, request.id, () => this.#create({ ...request, spec: planned.spec, autostart: request.autostart && later === undefined }));
    if (later !== undefined) await this.#settle(task, later, request.autostart);
    return task;
  }

  /** Before the container's program runs. */
  async #settle(task: ShimTask, later: OciResources, autostart: boolean): Promise<void> {
    try {
      await task.update(later);
      if (autostart) await task.start();
    } catch (error) {
      await task.signal(SIGKILL).catch(() => undefined);
      await task.release();
      throw error;
    }
  }

  async #create(request: TaskRequest): Promise<ShimTask> {
    const folder = taskFolder(this.#options.execRoot, request.id);
    const started = performance.now();
    const plan = this.#compile(request);
    const bytes = encodePlan(plan);
    request.trace?.("compile", (performance.now() - started) * 1000);
    const task = await this.#launch(request, folder, plan, bytes);
    this.#tasks.add(task);
    // Behind what follows from this start.
    setImmediate(() => this.#keepSpare());
    void task.exited.then(() => this.#tasks.delete(task));
    return task;
  }

  /** Where systemd makes the groups, the program asks it, too: its configuration has the unit, our plan has the group's path. */
  async #createForeign(request: TaskRequest, given: RuntimeProgram): Promise<Task> {
    const folder = taskFolder(this.#options.execRoot, request.id);
    const { units } = this.#options;
    const program = units ? { ...given, args: [...given.args, "--systemd-cgroup"] } : given;
    const spec = units ? units.plan(request.spec, request.id).spec : request.spec;
    const commands = new RuntimeCommands(program, { id: request.id, folder: folder.path });
    const { capabilities } = this.#options.host;
    try {
      await writeBundle(folder.path, request, capabilities);
      // Before anything runs: whoever has to clean up must know how.
      writeSpec(folder, spec, program);
    } catch (error) {
      await this.#undo(folder, error);
      throw startError(error, "create");
    }
    return new ForeignTask(await this.#create({ ...request, spec, runtime: program }), { commands, folder, capabilities });
  }

  explain(request: TaskRequest): string {
    const { units } = this.#options;
    return planText(this.#compile(units ? { ...request, spec: units.plan(request.spec, request.id).spec } : request));
  }

  async recover(id: string): Promise<RecoveredTask> {
    const folder = taskFolder(this.#options.execRoot, id);
    const task = await this.#reconnect(id, folder);
    if (task) return { kind: "running", task: this.#asTask(task, folder) };
    const exit = readExitRecord(folder);
    if (exit) return { kind: "exited", exit };
    await this.purge(id).catch((error: unknown) => this.#warn(`removing what is left of task ${id}: ${messageOf(error)}`));
    return { kind: "gone" };
  }

  list(): Promise<string[]> {
    return listTaskFolders(this.#options.execRoot);
  }

  async purge(id: string): Promise<void> {
    const folder = taskFolder(this.#options.execRoot, id);
    const { units } = this.#options;
    const spec = units && readSpec(folder);
    await purgeTask(folder, id);
    if (spec) await units.stop(spec);
  }

  close(): Promise<void> {
    for (const task of this.#tasks) task.close();
    this.#tasks.clear();
    this.#closed = true;
    void this.#spare?.then((shim) => shim?.close());
    this.launcher.close();
    return Promise.resolve();
  }

  async #shim(): Promise<ShimConnection> {
    const spare = this.#spare;
    this.#spare = undefined;
    const shim = await spare;
    return shim && !shim.closed ? shim : this.#fork();
  }

  #keepSpare(): void {
    if (!this.#closed) this.#spare ??= this.#fork().catch(() => undefined);
  }

  async #fork(): Promise<ShimConnection> {
    const [ours, theirs] = socketPair("seqpacket");
    const shim = new ShimConnection(ours);
    try {
      await this.launcher.fork(theirs);
      return shim;
    } catch (error) {
      shim.close();
      throw error;
    } finally {
      closeSync(theirs);
    }
  }

  /** Of the runtime that made it. */
  #asTask(task: ShimTask, folder: TaskFolder): Task {
    const program = readRuntime(folder);
    if (!program) return task;
    return new ForeignTask(task, { commands: new RuntimeCommands(program, { id: task.id, folder: folder.path }), folder, capabilities: this.#options.host.capabilities });
  }

  #warn(message: string): void {
    this.#options.warn?.(message);
  }

  #compile(request: TaskRequest): Plan {
    if (this.#options.compile) return this.#options.compile(request);
    if (request.runtime) return this.#foreignPlan(request, request.runtime);
    const { stdio } = request;
    return compile(request.spec, {
      id: request.id,
      host: this.#options.host,
      rootfs: request.rootfs,
      ...(request.netnsFd !== undefined && { netnsFd: 0 }),
      ...(stdio.consoleSize && { consoleSize: stdio.consoleSize }),
      ...(this.#options.noPivot && { noPivot: true }),
      warn: (message) => this.#warn(`${request.id}: ${message}`),
    });
  }

  #foreignPlan(request: TaskRequest, program: RuntimeProgram): Plan {
    const { path: folder } = taskFolder(this.#options.execRoot, request.id);
    return createPlan(request, new RuntimeCommands(program, { id: request.id, folder }), { folder, host: this.#options.host });
  }

  /** Sends the plan to a new shim and waits for its first answer. */
  async #launch(request: TaskRequest, folder: TaskFolder, plan: Plan, bytes: Buffer): Promise<ShimTask> {
    const inline = bytes.length <= inlinePlanBytes;
    const begun = performance.now();
    const shim = await this.#shim().catch((error: unknown) => {
      throw startError(error, "create");
    });
    const fds = inline ? [] : [sealedMemory("plan", bytes)];
    const ownFds = [...fds];
    if (request.netnsFd !== undefined) fds.push(request.netnsFd);
    const task = new ShimTask(shim, { ...this.#taskOptions(request.id, folder, request.spec), netnsFd: request.netnsFd === undefined ? undefined : 0, pid: 0, startedAt: undefined });
    const sent = (): void => ownFds.forEach((fd) => closeSync(fd));
    const answer = task.connection.request((serial) => encodeCreate(serial, createMessage(request, folder, inline ? bytes : undefined)), fds, sent);
    try {
      const unwritten = request.runtime ? undefined : failureOf(() => writeSpec(folder, request.spec));
      // First of all it says why: a shim that could not start has removed the folder.
      const reply = await answer;
      if (unwritten !== undefined) throw unwritten;
      request.trace?.("shim", (performance.now() - begun) * 1000);
      takeReply(task, reply);
      if (request.trace) traceTimings(reply, plan, request.trace);
      return task;
    } catch (error) {
      answer.catch(() => undefined);
      task.close();
      const failure = startError(error, "create", (one) => opName(plan, one));
      const said = request.runtime && createError(failure, new RuntimeCommands(request.runtime, { id: request.id, folder: folder.path }), request);
      await this.#undo(folder, error);
      throw said ?? failure;
    }
  }

  /** The shim has undone what it did, unless it was killed. Another task of that id is left alone. */
  async #undo(folder: TaskFolder, error: unknown): Promise<void> {
    const failure = (error as { failure?: ShimFailure }).failure;
    if (failure?.step === "folder" && failure.subject === folder.socket) return;
    await purgeTask(folder, basename(folder.path)).catch((cause: unknown) => this.#warn(`removing ${folder.path}: ${messageOf(cause)}`));
  }

  #taskOptions(id: string, folder: TaskFolder, spec: TaskRequest["spec"]): { id: string; folder: TaskFolder; purge: () => Promise<void>; spec: TaskRequest["spec"]; host: HostFacts; units: TaskUnits | undefined } {
    return { id, folder, purge: () => purgeTask(folder, id), spec, host: this.#options.host, units: this.#options.units };
  }

  async #reconnect(id: string, folder: TaskFolder): Promise<ShimTask | undefined> {
    let fd: number;
    try {
      fd = connectSeqpacket(folder.socket);
    } catch {
      return undefined;
    }
    const spec = readSpec(folder) ?? { ociVersion: "1.0.2" };
    const task = new ShimTask(new ShimConnection(fd), { ...this.#taskOptions(id, folder, spec), netnsFd: undefined, pid: 0, startedAt: undefined });
    const status = await settledStatus(task.connection).catch((error: unknown) => {
      task.close();
      if (!(error instanceof ShimGone)) throw error;
      return undefined;
    });
    // It ended between our looking and our asking: the record says how.
    if (!status) return undefined;
    task.pid = status.pid;
    task.startedAt = status.startedAt === 0n ? undefined : status.startedAt;
    if (status.state === "exited") task.exitedWith(status.exit);
    this.#tasks.add(task);
    return task;
  }
}

function failureOf(run: () => void): unknown {
  try {
    run();
    return undefined;
  } catch (error) {
    return error;
  }
}

function createMessage(request: TaskRequest, folder: TaskFolder, plan: Buffer | undefined): Parameters<typeof encodeCreate>[1] {
  const { stdio, log } = request;
  return {
    folder: folder.path,
    terminal: stdio.terminal,
    stdin: stdio.stdin,
    stdinOnce: stdio.stdinOnce,
    autostart: request.autostart,
    trace: request.trace !== undefined,
    width: stdio.consoleSize?.width ?? 0,
    height: stdio.consoleSize?.height ?? 0,
    logPath: log.kind === "none" ? "" : log.path,
    ...logLimits(log),
    plan,
  };
}

function takeReply(task: ShimTask, reply: ShimReply): void {
  if (reply.type !== "created" && reply.type !== "started") throw new Error(`unexpected answer ${reply.type} from the shim`);
  task.pid = reply.pid;
  if (reply.type === "started") task.startedAt = reply.startedAt;
}

/** The op that a section and index mean. */
function opName(plan: Plan, { section, index }: { section: ShimFailure["section"]; index: number }): string | undefined {
  switch (section) {
    case "host":
      return plan.host[index]?.op;
    case "parent":
      return plan.parent[index]?.op;
    case "child":
      return plan.child[index]?.op;
    case "namespaces":
      return plan.namespaces[index] && `${plan.namespaces[index].type} namespace`;
    case "teardown":
      return plan.teardown[index]?.op;
    default:
      return undefined;
  }
}

const execSteps = ["stdio and limits", "user", "seccomp", "capabilities", "start hooks", "exec"];

function traceTimings(reply: ShimReply, plan: Plan, trace: NonNullable<TaskRequest["trace"]>): void {
  if (reply.type !== "created" && reply.type !== "started") return;
  for (const timing of reply.timings) trace(timingName(plan, timing), timing.nanoseconds / 1000);
}

function timingName(plan: Plan, { section, index }: Timing): string {
  if (section === "clone") return "clone";
  if (section === "parent") return "parent ops";
  if (section === "namespaces") return "enter namespaces";
  if (section === "exec") return `exec: ${execSteps[index] ?? index}`;
  const op = opName(plan, { section, index });
  if (op === undefined) return "run folder and log";
  const list: readonly object[] = section === "host" ? plan.host : plan.child;
  const subject = (list[index] as { target?: string; path?: string }).target ?? (list[index] as { path?: string }).path;
  return `${section}: ${op}${subject ? ` ${subject}` : ""}`;
}
