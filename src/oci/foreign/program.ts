/** The command line of another OCI runtime, as runc, crun and others have it. */
import { execFile } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { RuntimeProgram } from "../../core/runtime.ts";
import { messageOf, systemError } from "../../lib/errors.ts";

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** A command that takes longer hangs. */
const TIMEOUT_SECONDS = 120;
const MOST_OUTPUT = 1 << 20;

/** One container of a runtime; what it keeps of it is in the container's run folder, and goes with that. */
export class RuntimeCommands {
  readonly id: string;
  readonly program: RuntimeProgram;
  readonly #folder: string;
  #count = 0;

  constructor(program: RuntimeProgram, { id, folder }: { id: string; folder: string }) {
    this.program = program;
    this.id = id;
    this.#folder = folder;
  }

  get env(): string[] {
    return environmentOf(this.program);
  }

  /** Where the command called `name` writes its errors. */
  logOf(name: string): string {
    return join(this.#folder, `${name}.log`);
  }

  /** Arguments of a call, the program's own name first. */
  argv(log: string, command: string, ...args: string[]): string[] {
    const { path, args: own, root = join(this.#folder, "state") } = this.program;
    return [path, ...own, "--root", root, "--log", log, "--log-format", "json", command, ...args];
  }

  /** A call that the shim makes. */
  hook(stage: string, command: string, ...args: string[]): { op: "hook"; path: string; args: string[]; env: string[]; timeoutSeconds: number; stage: string } {
    return { op: "hook", path: this.program.path, args: this.argv(this.logOf(command), command, ...args), env: this.env, timeoutSeconds: TIMEOUT_SECONDS, stage };
  }

  /** Runs a command to its end; its output. Throws what it logged as its error. */
  async run(command: string, ...args: string[]): Promise<string> {
    const log = this.logOf(`${command}-${process.pid}-${++this.#count}`);
    const [path = "", ...argv] = this.argv(log, command, ...args);
    try {
      return await output(path, argv, { cwd: this.#folder, env: this.env });
    } catch (error) {
      throw systemError(this.lastError(log) ?? messageOf(error), error);
    } finally {
      rmSync(log, { force: true });
    }
  }

  /** What a failed command said last. */
  lastError(log: string): string | undefined {
    return lastMessage(textOf(log));
  }
}

/** Only what finding programs takes: the daemon's own variables are not the runtime's. */
function environmentOf({ env = [] }: RuntimeProgram): string[] {
  const { PATH: path, HOME: home } = process.env;
  return [`PATH=${path ?? PATH}`, `HOME=${home ?? "/root"}`, ...env];
}

function output(path: string, args: string[], { cwd, env: entries }: { cwd: string; env: string[] }): Promise<string> {
  const env = Object.fromEntries(entries.map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)]));
  return new Promise((resolve, reject) => {
    execFile(path, args, { cwd, env, timeout: TIMEOUT_SECONDS * 1000, killSignal: "SIGKILL", maxBuffer: MOST_OUTPUT }, (error, stdout, stderr) => {
      if (error) reject(new Error(firstLine(stderr) ?? error.message, { cause: error }));
      else resolve(stdout);
    });
  });
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Lines of {"level", "msg", "time"}; only errors count. */
function lastMessage(text: string): string | undefined {
  const messages = text.split("\n").flatMap((line) => {
    try {
      const { level, msg } = JSON.parse(line) as { level?: string; msg?: string };
      return msg !== undefined && (level === "error" || level === "fatal") ? [msg.trim()] : [];
    } catch {
      return [];
    }
  });
  return messages.at(-1);
}

const firstLine = (text: string): string | undefined => text.trim().split("\n")[0] || undefined;
