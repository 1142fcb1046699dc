/** A task as the engine sees it: requests to its shim, and what can be done by its cgroups without the shim. */
import { closeSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Duplex } from "node:stream";
import type { AttachOptions, CheckpointRequest, ExecRequest, ExecTask, ExitStatus, LogRequest, Task } from "../core/runtime.ts";
import type { TaskStats } from "../core/stats.ts";
import { conflict, notFound, notImplemented, systemError } from "../lib/errors.ts";
import type { OciResources, OciSpec } from "../lib/oci-spec.ts";
import { SIGKILL } from "../lib/signals.ts";
import { connectSeqpacket, sealedMemory } from "../sys/seqpacket.ts";
import { applyWrite } from "./cgroups/apply.ts";
import type { CgroupGroup } from "./cgroups/groups.ts";
import type { PlannedScope } from "./cgroups/systemd/scope.ts";
import { containerGroups, freezerFile, processesPath } from "./cgroups/groups.ts";
import { updateWrites } from "./cgroups/resources.ts";
import { readStats } from "./cgroups/stats.ts";
import { compile, compileExec } from "./compile/compile.ts";
import type { HostFacts } from "./host.ts";
import { encodeExecPlan } from "./plan/encode.ts";
import type { ExecPlan } from "./plan/types.ts";
import { logLimits } from "./shim/attributes.ts";
import { settledStatus, ShimConnection, ShimError, ShimGone } from "./shim/client.ts";
import { requestError, startError } from "./shim/failure.ts";
import { ShimExec } from "./shim/exec.ts";
import { openAttachment } from "./shim/stream.ts";
import type { TaskFolder } from "./shim/folder.ts";
import { processesOf, readExitRecord } from "./shim/folder.ts";
import type { ExecMessage, ShimExit, ShimStatus } from "./shim/protocol.ts";
import { encodeAttach, encodeExec, encodeLog, encodeRelease, encodeResize, encodeSignal, encodeStart, inlinePlanBytes } from "./shim/protocol.ts";

/** What an exit looks like when nobody was there to see it: as after SIGKILL. */
const unseenExit = (): ExitStatus => ({ code: 137, at: BigInt(Date.now()) * 1_000_000n, oomKilled: false });

/** Of an exec: the shim is gone, or the process whose namespaces are entered is, or what lists its groups. */
const isOver = (error: unknown): boolean => error instanceof ShimGone || (error instanceof ShimError && error.code === "ESRCH");

/** PF_EXITING of include/linux/sched.h, in field 9 of proc_pid_stat(5). */
const EXITING = 4;

/** It ends, or SIGKILL waits to be delivered to it (ShdPnd and SigPnd of proc_pid_status(5)), or it is gone. */
export function isEnding(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    if (Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[6]) & EXITING) return true;
    const masks = readFileSync(`/proc/${pid}/status`, "utf8").matchAll(/^(?:ShdPnd|SigPnd):\s*([0-9a-f]+)$/gm);
    return [...masks].some(([, mask]) => (BigInt(`0x${mask}`) >> BigInt(SIGKILL - 1)) & 1n);
  } catch {
    return true;
  }
}

export interface TaskOptions {
  id: string;
  folder: TaskFolder;
  /** Takes away what is left when the shim could not. */
  purge: () => Promise<void>;
  spec: OciSpec;
  host: HostFacts;
  units: TaskUnits | undefined;
  /** Position of a network namespace's fd among the plan's, if one was given. */
  netnsFd: number | undefined;
  pid: number;
  startedAt: bigint | undefined;
}

/** Who makes, changes and ends the groups of tasks beside their shims. */
export interface TaskUnits {
  plan(spec: OciSpec, id: string): PlannedScope;
  /** Makes the unit and has `make` put processes into it. After a failure it is no more. */
  make<Made>(planned: PlannedScope, id: string, make: () => Promise<Made>): Promise<Made>;
  update(spec: OciSpec, resources: OciResources, groups: CgroupGroup[], read: (path: string) => string | undefined): Promise<void>;
  stop(spec: OciSpec): Promise<void>;
}

interface Exec {
  exit: (exit: ExitStatus) => void;
}

export class ShimTask implements Task {
  readonly id: string;
  pid: number;
  startedAt: bigint | undefined;
  readonly exited: Promise<ExitStatus>;
  readonly #options: TaskOptions;
  readonly #groups: CgroupGroup[];
  #connection: ShimConnection;
  /** A lost connection is being made anew. */
  #reconnecting = false;
  readonly #execs = new Map<string, Exec>();
  #exit!: (exit: ExitStatus) => void;
  #released: Promise<void> | undefined;
  #over = false;
  /** Connection closed by us: exits go unheard, and that is meant. */
  #closed = false;

  /** `connection`: to its shim; taken over. */
  constructor(connection: ShimConnection, options: TaskOptions) {
    this.id = options.id;
    this.pid = options.pid;
    this.startedAt = options.startedAt;
    this.#options = options;
    this.#groups = containerGroups(options.host.cgroups, options.spec.linux?.cgroupsPath, options.id);
    this.exited = new Promise((resolve) => (this.#exit = resolve));
    this.#connection = connection;
    this.#listen();
  }

  #listen(): void {
    this.#connection.listen({
      exited: (exit) => this.exitedWith(exit),
      execExited: (id, exit) => this.#execExited(id, exit),
      gone: () => void this.#gone(),
    });
  }

  /** For the runtime, which makes and recovers tasks. */
  get connection(): ShimConnection {
    return this.#connection;
  }

  exitedWith(exit: ShimExit): void {
    this.#over = true;
    this.#exit({ code: exit.code, at: exit.at, oomKilled: exit.oomKilled });
  }

  async start(): Promise<void> {
    const reply = await this.#connection.request(encodeStart).catch(async (error: unknown) => {
      // What failed to start is over: nobody else would take it away.
      if (error instanceof ShimError && error.failure.section === "exec") await this.release();
      throw startError(error, "start");
    });
    if (reply.type === "started") this.startedAt = reply.startedAt;
  }

  async signal(signal: number, options: { all?: boolean } = {}): Promise<void> {
    if (this.#over) throw notFound(`task ${this.id} has ended`);
    await this.#request((serial) => encodeSignal(serial, "", signal, options.all ?? false), `signal ${signal} to task ${this.id}`);
  }

  async attach(options: AttachOptions): Promise<Duplex> {
    const { stream, theirs } = openAttachment();
    try {
      await this.#request((serial) => encodeAttach(serial, "", options), `attaching to task ${this.id}`, [theirs]);
      return stream;
    } catch (error) {
      stream.destroy();
      throw error;
    } finally {
      closeSync(theirs);
    }
  }

  async resize(size: { width: number; height: number }): Promise<void> {
    await this.#request((serial) => encodeResize(serial, "", size), `resizing task ${this.id}`);
  }

  exec(request: ExecRequest): Promise<ExecTask> {
    const { spec, host, netnsFd } = this.#options;
    return this.execPlan(request, () => compileExec(request.process, spec, { id: this.id, host, ...(netnsFd !== undefined && { netnsFd }) }));
  }

  /** A further process by a plan of its own. */
  async execPlan(request: ExecRequest, compiled: () => ExecPlan, adopt?: ExecMessage["adopt"]): Promise<ExecTask> {
    if (this.#execs.has(request.id)) throw conflict(`exec ${request.id} exists already in task ${this.id}`);
    const plan = encodeExecPlan(compiled());
    const exited = new Promise<ExitStatus>((resolve) => this.#execs.set(request.id, { exit: resolve }));
    try {
      const { pid, stream } = await this.#startExec(request, plan, adopt);
      return new ShimExec({ id: request.id, pid, exited, stream, connection: () => this.#connection });
    } catch (error) {
      this.#execs.delete(request.id);
      throw startError(isOver(error) ? notFound(`task ${this.id} has ended`, error) : error, "exec");
    }
  }

  async #startExec(request: ExecRequest, plan: Buffer, adopt: ExecMessage["adopt"]): Promise<{ pid: number; stream: Duplex | undefined }> {
    const { stdio, attach } = request;
    const inline = plan.length <= inlinePlanBytes;
    const message: ExecMessage = {
      id: request.id,
      terminal: stdio.terminal,
      stdin: stdio.stdin,
      stdinOnce: stdio.stdinOnce,
      width: stdio.consoleSize?.width ?? 0,
      height: stdio.consoleSize?.height ?? 0,
      attach,
      plan: inline ? plan : undefined,
      ...(adopt && { adopt }),
    };
    const fds = inline ? [] : [sealedMemory("plan", plan)];
    const attachment = attach && openAttachment();
    if (attachment) fds.push(attachment.theirs);
    try {
      const reply = await this.#connection.request((serial) => encodeExec(serial, message), fds, () => fds.forEach((fd) => closeSync(fd)));
      return { pid: reply.type === "execStarted" ? reply.pid : 0, stream: attachment?.stream };
    } catch (error) {
      attachment?.stream.destroy();
      throw error;
    }
  }

  async pids(): Promise<number[]> {
    const path = processesPath(this.#groups);
    if (path === undefined) return this.#over ? [] : [this.pid];
    return await processesOf(path.replace(/\/cgroup\.procs$/, ""));
  }

  stats(): Promise<TaskStats> {
    return readStats(this.#groups, this.pid);
  }

  /**
   * One that has been killed is let die instead: a frozen process of cgroup v1 keeps even SIGKILL waiting. What it was sent
   * while it froze is seen afterwards; from then on, whoever kills it knows that it has to be thawed.
   */
  async pause(): Promise<void> {
    if (!isEnding(this.pid)) await this.#freeze(true);
    if (isEnding(this.pid)) await this.#freeze(false);
  }

  resume(): Promise<void> {
    return this.#freeze(false);
  }

  async #freeze(frozen: boolean): Promise<void> {
    try {
      await this.#setFrozen(frozen);
    } catch (error) {
      // Its group is gone before its end is told.
      const { code } = error as NodeJS.ErrnoException;
      throw code === "ENOENT" || code === "ENODEV" ? notFound(`task ${this.id} has ended`, error) : error;
    }
  }

  async #setFrozen(frozen: boolean): Promise<void> {
    const file = freezerFile(this.#groups);
    if (!file) throw systemError("this machine has no freezer cgroup: a container cannot be paused");
    const value = frozen ? file.freeze : file.thaw;
    for (let tries = 0; tries < 1000; tries++) {
      writeFileSync(file.path, value, { flag: "r+" });
      if (readFileSync(file.state, "utf8").includes(file.frozen) === frozen) return;
      await sleep(tries < 10 ? 1 : 5);
    }
    // Half frozen is worse than not: whoever asked can ask again.
    if (frozen) writeFileSync(file.path, file.thaw, { flag: "r+" });
    throw systemError(`task ${this.id} did not ${frozen ? "freeze" : "thaw"} within five seconds`);
  }

  async update(resources: OciResources): Promise<void> {
    const read = (path: string): string | undefined => {
      try {
        return readFileSync(path, "utf8");
      } catch {
        return undefined;
      }
    };
    const writes = updateWrites(this.#groups, resources, { files: this.#options.host.cgroups.files, read });
    await this.#options.units?.update(this.#options.spec, resources, this.#groups, read);
    for (const write of writes) applyWrite(write);
  }

  async changeLog(log: LogRequest): Promise<void> {
    await this.#connection.request((serial) => encodeLog(serial, logLimits(log))).catch((error: unknown) => {
      if (error instanceof ShimError && error.failure.step === "request") throw notImplemented("the program that supervises this container is of an older version: options of its log change after its next start");
      throw requestError(error, `changing the log of task ${this.id}`);
    });
  }

  async checkpoint({ folder, leaveRunning, givenNetwork }: CheckpointRequest): Promise<void> {
    const { spec: own, host } = this.#options;
    if (own.linux?.namespaces?.some(({ type }) => type === "user")) throw notImplemented("a container in a user namespace cannot be restored: with --userns-remap use --userns=host");
    const { dumpTo } = await import("./criu/dump.ts");
    const namespaces = own.linux?.namespaces?.map((namespace) => (givenNetwork && namespace.type === "network" ? { ...namespace, path: `/proc/${this.pid}/ns/net` } : namespace));
    const spec = namespaces ? { ...own, linux: { ...own.linux, namespaces } } : own;
    // What is mounted is asked for; of a recovered task no more is known, and the root is its own.
    const { child } = compile({ ...spec, process: { args: [""], cwd: "/", user: { uid: 0, gid: 0 } } }, { id: this.id, host, rootfs: [{ type: "bind", source: "/", readonly: true }] });
    await dumpTo(folder, { pid: this.pid, spec, child, cgroups: this.#groups.map(({ path }) => path) }, { leaveRunning });
  }

  release(): Promise<void> {
    this.#released ??= this.#release();
    return this.#released;
  }

  async #release(): Promise<void> {
    await this.exited;
    const told = await this.#connection.request(encodeRelease).catch(() => undefined);
    this.#closed = true;
    this.#connection.close();
    // Without an answer nobody has cleaned up.
    if (told?.type !== "ok") await this.#options.purge();
    await this.#options.units?.stop(this.#options.spec);
  }

  /** Disconnects; the task goes on. */
  close(): void {
    this.#closed = true;
    this.#connection.close();
  }

  async #request(encode: (serial: number) => Buffer, what: string, fds: readonly number[] = []): Promise<void> {
    await this.#connection.request(encode, fds).catch((error: unknown) => {
      throw requestError(error, what);
    });
  }

  #execExited(id: string, exit: ShimExit): void {
    this.#execs.get(id)?.exit({ code: exit.code, at: exit.at, oomKilled: exit.oomKilled });
    this.#execs.delete(id);
  }

  /** The connection is lost. A shim that lives is asked again; one that has gone leaves its record, and when it was killed what it held has to be collected. */
  async #gone(): Promise<void> {
    if (this.#closed || this.#reconnecting) return;
    this.#reconnecting = true;
    const status = await this.#reconnect();
    this.#reconnecting = false;
    if (this.#closed) return;
    if (status) return this.#takeUp(status);
    const exit = readExitRecord(this.#options.folder);
    if (!exit && !this.#over) await this.#options.purge().catch(() => undefined);
    for (const id of [...this.#execs.keys()]) this.#execExited(id, unseenExit());
    this.exitedWith(exit ?? unseenExit());
  }

  async #reconnect(): Promise<ShimStatus | undefined> {
    let fd: number;
    try {
      fd = connectSeqpacket(this.#options.folder.socket);
    } catch {
      return undefined;
    }
    this.#connection = new ShimConnection(fd);
    this.#listen();
    return await settledStatus(this.#connection).catch(() => {
      this.#connection.close();
      return undefined;
    });
  }

  /** What happened while nobody listened. */
  #takeUp({ state, exit, execs }: ShimStatus): void {
    for (const id of [...this.#execs.keys()]) {
      const exec = execs.find((one) => one.id === id);
      if (!exec?.running) this.#execExited(id, exec?.exit ?? unseenExit());
    }
    if (state === "exited") this.exitedWith(exit);
  }
}
