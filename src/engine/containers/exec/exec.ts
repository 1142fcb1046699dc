/** Further processes in running containers: create, start, inspect, resize. */
import type { Duplex } from "node:stream";
import { byEngine } from "../../../core/caller.ts";
import type { ContainerRecord } from "../../../core/container.ts";
import type { ExecTask, RuntimeFailure } from "../../../core/runtime.ts";
import { codeOf, conflict, GantryError, invalidParameter, messageOf, notFound } from "../../../lib/errors.ts";
import { faultPoint } from "../../../lib/fault.ts";
import { randomId } from "../../../lib/random-id.ts";
import { parseSignal, SIGKILL } from "../../../lib/signals.ts";
import { checkUser } from "../../../lib/user-database.ts";
import type { LifecycleContext } from "../lifecycle/context.ts";
import { emit, notRunning, requireTask, taskOf } from "../lifecycle/state.ts";
import type { ExecConfig, ExecInstance } from "./instance.ts";

const USER_DATABASE_BYTES = 4 * 1024 * 1024;

export class ExecService {
  readonly #context: LifecycleContext;
  readonly #instances = new Map<string, ExecInstance>();

  constructor(context: LifecycleContext) {
    this.#context = context;
  }

  /** Registers a process to be started. Returns its id. */
  async create(ref: string, config: ExecConfig): Promise<string> {
    const record = this.#context.store.find(ref);
    requireRunnable(record, record.name);
    if (config.cmd.length === 0) throw invalidParameter("No exec command specified");
    if (config.user !== "") await this.#checkUser(record, config.user);
    const instance: ExecInstance = { id: randomId(), containerId: record.id, config, state: { status: "created" } };
    const live = this.#context.live(record.id);
    live.execs.set(instance.id, instance);
    this.#instances.set(instance.id, instance);
    this.#forgetEnded();
    emit(this.#context, record, `exec_create: ${config.cmd.join(" ")}`, { execID: instance.id });
    return instance.id;
  }

  get(id: string): ExecInstance {
    const instance = this.#instances.get(id);
    if (!instance || !this.#context.store.get(instance.containerId)) throw notFound(`No such exec instance: ${id}`);
    return instance;
  }

  /** Checks that its container is one that processes can be started and changed in now, before an answer is begun. */
  startable(id: string): ExecInstance {
    const instance = this.get(id);
    const record = this.#context.store.find(instance.containerId);
    requireRunnable(record, record.id);
    return instance;
  }

  /** Starts the process. The stream is its terminal or its multiplexed output; undefined when detached. */
  async start(instance: ExecInstance, options: { detach: boolean; consoleSize?: { height: number; width: number } }): Promise<Duplex | undefined> {
    if (instance.state.status === "exited" || instance.state.status === "running" || instance.state.status === "starting") {
      throw conflict(instance.state.status === "exited" ? `exec command ${instance.id} has already run` : `exec command ${instance.id} is already running`);
    }
    const record = this.#context.store.find(instance.containerId);
    const task = taskOf(this.#context, record);
    const { config } = instance;
    instance.state = { status: "starting" };
    emit(this.#context, record, `exec_start: ${config.cmd.join(" ")}`, { execID: instance.id });
    const size = options.consoleSize ?? config.consoleSize;
    const attached = !options.detach && (config.attachStdin || config.attachStdout || config.attachStderr);
    try {
      const process = await task.exec({
        id: instance.id,
        process: this.#context.buildExecProcess(record, config),
        stdio: { terminal: config.tty, stdin: config.attachStdin && !options.detach, stdinOnce: true, ...(size && config.tty ? { consoleSize: size } : {}) },
        ...(attached ? { attach: { stdin: config.attachStdin, stdout: config.attachStdout, stderr: config.attachStderr } } : {}),
      });
      faultPoint("exec-started");
      instance.state = { status: "running", task: process };
      byEngine(() => this.#watch(record, instance, process));
      return process.stream;
    } catch (error) {
      instance.state = { status: "exited", exitCode: failureCode(error), pid: 0 };
      this.#context.live(record.id).execs.delete(instance.id);
      throw codeOf(error) === "not-found" ? notRunning(record) : error;
    }
  }

  async resize(id: string, size: { height: number; width: number }): Promise<void> {
    const instance = this.startable(id);
    if (instance.state.status === "exited" && !instance.detached) {
      throw instance.state.pid === 0 ? invalidParameter("exec process is not started") : notFound(`NotFound: process does not exist ${id}: not found`);
    }
    if (instance.state.status !== "running") return;
    await instance.state.task.resize(size);
  }

  /** Sends a signal by name or number, SIGKILL by default, to the process itself. */
  async kill(id: string, signalName: string): Promise<void> {
    const instance = this.startable(id);
    const signal = signalName === "" ? SIGKILL : parseSignal(signalName);
    if (instance.state.status !== "running") throw conflict(`exec command ${id} is not running`);
    await instance.state.task.signal(signal);
    const record = this.#context.store.get(instance.containerId);
    if (record) emit(this.#context, record, "exec_kill", { execID: id, signal: String(signal) });
  }

  /** The client left by its detach keys. The process runs on, but Docker counts the exec as failed from here on. */
  detached(instance: ExecInstance): void {
    const record = this.#context.store.get(instance.containerId);
    if (record) emit(this.#context, record, "exec_detach", { execID: instance.id });
    this.#context.live(instance.containerId).execs.delete(instance.id);
    instance.detached = true;
    if (instance.state.status === "running") instance.state = { status: "exited", exitCode: 126, pid: instance.state.task.pid };
  }

  /** Resolves when a started process has ended. */
  async ended(instance: ExecInstance): Promise<void> {
    if (instance.state.status === "running") await instance.state.task.exited;
  }

  /** Ids of processes that run or are to be started, as inspect shows them. */
  idsOf(containerId: string): string[] {
    return [...this.#context.live(containerId).execs.keys()];
  }

  /** A user that does not exist is an error of create already. */
  async #checkUser(record: ContainerRecord, user: string): Promise<void> {
    const read = async (path: string): Promise<string> => String((await this.#context.readFile(record, path, USER_DATABASE_BYTES)) ?? "");
    checkUser(user, await read("/etc/passwd"), await read("/etc/group"));
  }

  #watch(record: ContainerRecord, instance: ExecInstance, task: ExecTask): void {
    void task.exited.then((status) => {
      if (instance.state.status === "running") instance.state = { status: "exited", exitCode: status.code, pid: task.pid };
      this.#context.live(record.id).execs.delete(instance.id);
      emit(this.#context, record, "exec_die", { execID: instance.id, exitCode: String(status.code) });
    });
  }

  /** Bounds the memory that ended processes take: the oldest are forgotten first. */
  #forgetEnded(): void {
    const most = 4096;
    if (this.#instances.size <= most) return;
    for (const [id, instance] of this.#instances) {
      if (instance.state.status !== "exited" && this.#context.store.get(instance.containerId)) continue;
      this.#instances.delete(id);
      this.#context.live(instance.containerId).execs.delete(id);
      if (this.#instances.size <= most / 2) return;
    }
  }
}

function requireRunnable(record: ContainerRecord, name: string): void {
  if (record.state.status === "paused") throw conflict(`Container ${name} is paused, unpause the container before exec`);
  requireTask(record);
}

/** The exit code that shells use for a program that could not be run; 128 where it did not come to that. */
function failureCode(error: unknown): number {
  const failure = error instanceof GantryError ? (error.cause as RuntimeFailure | undefined) : undefined;
  const text = messageOf(error);
  if (failure?.kind === "program-not-executable" || /permission denied|is a directory/.test(text)) return 126;
  return failure?.kind === "program-not-found" || /chdir to cwd|not a directory/.test(text) ? 127 : 128;
}
