/**
 * Whoever called gantry-runtime, as commands see it: where relative paths begin, where output goes, and who the parent of
 * processes is. Commands touch none of these otherwise, so that they also run in the resident process (src/oci/resident),
 * which does everything else for its callers: it has their user, rights, namespaces, root and umask, see facts.ts there.
 */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import type { Duplex, Readable } from "node:stream";
import { isatty } from "node:tty";
import { systemError } from "../../lib/errors.ts";
import type { Command } from "./command.ts";

export interface Caller {
  /** The name that gantry-runtime was called by, which its messages and help have. */
  program: string;
  /** Absolute. */
  cwd: string;
  /** /proc of its process. */
  proc: string;
  write: (to: "stdout" | "stderr", text: string) => void;
  /** Its environment; absent: it has neither LISTEN_FDS nor NOTIFY_SOCKET. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Of its environment. */
  variable: (name: string) => string | undefined;
  /** Its fds from 3 on can be handed on; else commands that do so are not served. */
  handsOnFds?: true;
  /** Starts a child of the caller, in its folder. */
  spawn: (request: SpawnRequest) => Child;
  /** Throws NotServed for a command that this caller must run in its own process; `paths`: what its flags name. */
  admit?: (command: Command, paths: string[]) => void;
}

/** Nothing has been done yet. */
export class NotServed extends Error {}

export interface SpawnRequest {
  path: string;
  /** With the program's own name. */
  args: string[];
  /** NAME=value */
  env: string[];
  /** plan: reads `input` from fd 3 and replies on fd 4, with the caller's streams; hook: reads it from stdin, its stdout is dropped. */
  kind: "plan" | "hook";
  input: Buffer;
  /** plan: how many of the caller's fds from 3 on it gets as 5 and so on. */
  preserveFds?: number;
  /** plan: fds of this process that it gets after those; only where `handsOnFds`. */
  fds?: readonly number[];
  /** It is sent what the caller is sent. */
  forwardSignals: boolean;
}

export interface Child {
  /** All of what it wrote to fd 4; a hook writes nothing. */
  reply: Promise<Buffer>;
  /** Rejects when it could not be executed. */
  exited: Promise<Exit>;
  kill: (signal: NodeJS.Signals) => void;
}

export interface Exit {
  /** null: ended by `signal`. */
  code: number | null;
  signal: string | null;
}

export function codeOf({ code, signal }: Exit): number {
  if (code === null) throw systemError(`gantry-shim was ended by ${signal}`);
  return code;
}

/** This process itself. */
export const ownProcess: Caller = {
  program: process.env["GANTRY_PROGRAM"] ?? "gantry-runtime",
  cwd: process.cwd(),
  env: process.env,
  variable: (name) => process.env[name],
  handsOnFds: true,
  proc: "/proc/self",
  write: (to, text) => void process[to].write(text),
  spawn: spawnOwn,
};

const streams: Record<SpawnRequest["kind"], ("inherit" | "pipe" | "ignore")[]> = { plan: ["inherit", "inherit", "inherit", "pipe", "pipe"], hook: ["pipe", "ignore", "inherit"] };

function spawnOwn({ path, args: [argv0, ...args], env, kind, input, preserveFds = 0, fds = [], forwardSignals: forward }: SpawnRequest): Child {
  const child = spawn(path, args, { argv0, stdio: [...streams[kind], ...Array.from({ length: preserveFds }, (_, index) => 3 + index), ...fds], env: Object.fromEntries(env.map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)])) });
  const exited = exitOf(child);
  // Reported where it is awaited, which after a failure may be nowhere.
  exited.catch(() => {});
  if (forward) forwardSignals(child);
  const pipe = child.stdio[kind === "plan" ? 3 : 0] as Duplex;
  pipe.on("error", () => {});
  pipe.end(input);
  return { exited, reply: kind === "plan" ? readAll(child.stdio[4] as Readable) : Promise.resolve(Buffer.alloc(0)), kill: (signal) => void child.kill(signal) };
}

function exitOf(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code, signal) => resolve({ code, signal }));
  });
}

const forwarded: NodeJS.Signals[] = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT", "SIGIO", "SIGPWR", "SIGSYS", "SIGTSTP", "SIGURG", "SIGVTALRM", "SIGWINCH", "SIGXCPU", "SIGXFSZ"];
/** A terminal sends these to all of its foreground processes: the child has had its own. */
const fromTerminal = new Set<NodeJS.Signals>(["SIGHUP", "SIGINT", "SIGQUIT", "SIGTSTP", "SIGWINCH"]);

function forwardSignals(child: ChildProcess): void {
  const onTerminal = [0, 1, 2].some((fd) => isatty(fd));
  const handlers = forwarded.map((signal) => [signal, () => (onTerminal && fromTerminal.has(signal)) || child.kill(signal)] as const);
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
