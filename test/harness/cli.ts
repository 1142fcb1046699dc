/** Runs a docker command line against an engine, as a user's shell would. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Engine, project } from "./engine.ts";

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

export class Cli {
  readonly program: string;
  readonly #env: NodeJS.ProcessEnv;

  constructor(program: string, engine: Engine, socket = engine.socket) {
    const config = join(engine.machine.folder, "client");
    mkdirSync(config, { recursive: true });
    this.program = program;
    this.#env = { ...process.env, DOCKER_HOST: `unix://${socket}`, DOCKER_CONFIG: config };
  }

  start(...args: string[]): ChildProcess & { stdin: NodeJS.WritableStream; stdout: NodeJS.ReadableStream; stderr: NodeJS.ReadableStream } {
    return spawn(this.program, args, { env: this.#env, stdio: ["pipe", "pipe", "pipe"] });
  }

  async run(args: string[], input: string | Buffer = ""): Promise<Outcome> {
    const child = this.start(...args);
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    return collect(child);
  }

  /** What a command that must succeed prints, without the last newline. */
  async ok(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(args);
    if (code !== 0) throw new Error(`${this.program} ${args.join(" ")}: exit ${code}\n${stderr}${stdout}`);
    return stdout.replace(/\n$/, "");
  }

  /** On a terminal of 80 by 24 characters. `keys` are typed one after the other, each once its text has been printed. */
  async typed(args: string[], keys: [awaited: string | RegExp, typed: string][]): Promise<Outcome> {
    const line = [this.program, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
    const child = spawn("script", ["-qec", `stty cols 80 rows 24; exec ${line}`, "/dev/null"], { env: { ...this.#env, TERM: "xterm", SHELL: "/bin/sh" }, stdio: ["pipe", "pipe", "pipe"] });
    child.stdin.on("error", () => {});
    const pending = [...keys];
    let unread = "";
    child.stdout.on("data", (data: Buffer) => {
      unread += data.toString();
      for (let next = pending[0]; next !== undefined; next = pending[0]) {
        const found = typeof next[0] === "string" ? unread.indexOf(next[0]) : unread.search(next[0]);
        if (found < 0) return;
        unread = unread.slice(found + 1);
        child.stdin.write(next[1]);
        pending.shift();
      }
    });
    return collect(child);
  }
}

/** Whether the event "close" has been, or is about to be: whoever waits for it from now on waits for ever. */
const isClosed = ({ exitCode, signalCode, stdout, stderr }: ChildProcess): boolean => (exitCode !== null || signalCode !== null) && stdout?.closed !== false && stderr?.closed !== false;

/** Waits for the end of a command, a minute at most unless told. The output is what comes from now on. */
export async function collect(child: ChildProcess, milliseconds = 60_000): Promise<Outcome> {
  const output = { stdout: "", stderr: "" };
  child.stdout?.on("data", (data: Buffer) => (output.stdout += data.toString()));
  child.stderr?.on("data", (data: Buffer) => (output.stderr += data.toString()));
  const timer = setTimeout(() => child.kill("SIGKILL"), milliseconds);
  if (!isClosed(child)) await once(child, "close");
  clearTimeout(timer);
  const { exitCode: code, signalCode: signal } = child;
  if (signal === "SIGKILL") throw new Error(`${child.spawnargs.join(" ")}: did not end\n${output.stdout}\n${output.stderr}`);
  return { code: code ?? -1, ...output };
}

/** The clients to test with: ours, and a docker command line when there is one on PATH. */
export function clients(): { name: string; program: string | undefined }[] {
  return [
    { name: "gantry", program: process.env["GANTRY_TEST_ENGINE"] === "dockerd" ? undefined : join(project, "bin", "gantry") },
    { name: "docker", program: which("docker") },
  ];
}

export function which(name: string): string | undefined {
  try {
    return execFileSync("sh", ["-c", 'command -v "$1"', "sh", name], { encoding: "utf8" }).trim();
  } catch {
    return undefined;
  }
}
