/**
 * A task of another runtime: supervised by our shim, changed by the runtime's own commands. Where these cannot be run any more,
 * the kernel's own means end it.
 */
import { randomBytes } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { AttachOptions, CheckpointRequest, ExecRequest, ExecTask, ExitStatus, LogRequest, RuntimeFailure, Task, TaskRequest } from "../../core/runtime.ts";
import type { TaskStats } from "../../core/stats.ts";
import { codeOf, GantryError, messageOf, notFound, systemError } from "../../lib/errors.ts";
import type { OciResources } from "../../lib/oci-spec.ts";
import { purgeFolder, readRuntime, type TaskFolder } from "../shim/folder.ts";
import { isEnding, type ShimTask } from "../task.ts";
import { configText, plainProcess, readerOfProcess } from "./bundle.ts";
import { execPlan } from "./plan.ts";
import { RuntimeCommands } from "./program.ts";

interface ForeignOptions {
  commands: RuntimeCommands;
  folder: TaskFolder;
  /** What this machine can give. */
  capabilities: bigint;
}

export class ForeignTask implements Task {
  readonly id: string;
  readonly #shim: ShimTask;
  readonly #commands: RuntimeCommands;
  readonly #folder: TaskFolder;
  readonly #capabilities: bigint;

  constructor(shim: ShimTask, { commands, folder, capabilities }: ForeignOptions) {
    this.id = shim.id;
    this.#shim = shim;
    this.#commands = commands;
    this.#folder = folder;
    this.#capabilities = capabilities;
  }

  get pid(): number {
    return this.#shim.pid;
  }

  get startedAt(): bigint | undefined {
    return this.#shim.startedAt;
  }

  get exited(): Promise<ExitStatus> {
    return this.#shim.exited;
  }

  async start(): Promise<void> {
    try {
      await this.#shim.start();
    } catch (error) {
      const failure = commandError("start", this.#commands.lastError(this.#commands.logOf("start")), error);
      await purgeFolder(this.#folder);
      throw failure;
    }
  }

  async signal(signal: number, { all = false }: { all?: boolean } = {}): Promise<void> {
    const told = await this.#commands.run("kill", ...(all ? ["--all"] : []), this.id, String(signal)).then(
      () => true,
      () => false,
    );
    // Not every runtime reaches what execs added.
    if (!told || all) {
      await this.#shim.signal(signal, { all }).catch((error: unknown) => {
        if (!told) throw error;
      });
    }
  }

  attach(options: AttachOptions): Promise<Duplex> {
    return this.#shim.attach(options);
  }

  resize(size: { width: number; height: number }): Promise<void> {
    return this.#shim.resize(size);
  }

  async exec(request: ExecRequest): Promise<ExecTask> {
    const { stdio } = request;
    const name = `e${randomBytes(4).toString("hex")}`;
    const { plan, process, log, pidFile, console } = execPlan(this.#commands, { folder: this.#folder.path, name, terminal: stdio.terminal });
    const plain = await plainProcess(request.process, { read: readerOfProcess(this.pid), stdio, capabilities: this.#capabilities });
    try {
      writeFileSync(process, configText(plain), { mode: 0o600 });
      return await this.#shim.execPlan(request, () => plan, { pidFile, console });
    } catch (error) {
      if (codeOf(error) === "not-found" || (error as NodeJS.ErrnoException).code === "ENOENT") throw notFound(`task ${this.id} has ended`, error);
      throw commandError("exec", this.#commands.lastError(log), error);
    } finally {
      for (const path of [process, log]) rmSync(path, { force: true });
    }
  }

  pids(): Promise<number[]> {
    return this.#shim.pids();
  }

  stats(): Promise<TaskStats> {
    return this.#shim.stats();
  }

  /** One that has been killed is let die instead, as with our own. */
  async pause(): Promise<void> {
    if (!isEnding(this.pid)) await this.#freeze("pause");
    if (isEnding(this.pid)) await this.#freeze("resume");
  }

  resume(): Promise<void> {
    return this.#freeze("resume");
  }

  /** What is the case already is no error. */
  async #freeze(command: "pause" | "resume"): Promise<void> {
    try {
      await this.#commands.run(command, this.id);
    } catch (error) {
      const status = await this.#status();
      if (status === "stopped" || isEnding(this.pid)) throw notFound(`task ${this.id} has ended`, error);
      if ((status === "paused") === (command === "pause")) return;
      if (status === undefined) return this.#shim[command]();
      throw error;
    }
  }

  /** Undefined when the runtime cannot say. */
  async #status(): Promise<string | undefined> {
    try {
      return (JSON.parse(await this.#commands.run("state", this.id)) as { status?: string }).status;
    } catch {
      return undefined;
    }
  }

  changeLog(log: LogRequest): Promise<void> {
    return this.#shim.changeLog(log);
  }

  async update(resources: OciResources): Promise<void> {
    const path = join(this.#folder.path, `resources-${randomBytes(4).toString("hex")}.json`);
    try {
      writeFileSync(path, configText(resources), { mode: 0o600 });
      await this.#commands.run("update", "--resources", path, this.id);
    } finally {
      rmSync(path, { force: true });
    }
  }

  async checkpoint({ folder, leaveRunning }: CheckpointRequest): Promise<void> {
    await this.#commands.run("checkpoint", "--image-path", folder, "--work-path", folder, ...(leaveRunning ? ["--leave-running"] : []), this.id);
  }

  async release(): Promise<void> {
    await this.#shim.release();
    await purgeFolder(this.#folder);
  }
}

/** Also what a killed shim left: the runtime takes away what it made, then what it left is. */
export async function purgeTask(folder: TaskFolder, id: string): Promise<void> {
  const program = readRuntime(folder);
  const remove = program && (() => new RuntimeCommands(program, { id, folder: folder.path }).run("delete", "--force", id));
  // What it does not take away goes below: its processes and groups are known, its state is in the folder.
  await purgeFolder(folder, () => remove?.().then(() => {}, () => {}));
}

/** Why a container could not be made. */
export function createError(error: unknown, commands: RuntimeCommands, { spec }: TaskRequest): GantryError {
  const started = commands.lastError(commands.logOf("start"));
  const message = commands.lastError(commands.logOf("create")) ?? started;
  return commandError(started !== undefined && message === started ? "start" : "create", message, error, spec.process?.args[0]);
}

/** With the runtime's own words, where it had any; else it was the runtime that could not be run. */
function commandError(phase: "create" | "start" | "exec", message: string | undefined, error: unknown, program = ""): GantryError {
  const prefix = `OCI runtime ${phase} failed: `;
  if (message !== undefined) {
    const cause: RuntimeFailure = { step: phase, errno: "", subject: program, kind: kindOf(message) };
    return new GantryError(cause.kind === "other" ? "system" : "invalid-parameter", prefix + message, { cause });
  }
  const { step, errno, subject = "" } = (error instanceof GantryError ? (error.cause as Partial<RuntimeFailure> | undefined) : undefined) ?? {};
  if (step === undefined || step === "user" || step === "group") return error instanceof GantryError ? error : systemError(prefix + messageOf(error), error);
  const cause: RuntimeFailure = { step, errno: errno ?? "", subject, kind: "other" };
  return new GantryError("system", messageOf(error), { cause });
}

/** By the words that Docker goes by. */
function kindOf(message: string): RuntimeFailure["kind"] {
  if (/executable file not found|exec: .*no such file or directory|executable file .* not found/.test(message)) return "program-not-found";
  if (/exec: .*(permission denied|is a directory)|exec format error|open executable: Permission denied/i.test(message)) return "program-not-executable";
  return "other";
}
