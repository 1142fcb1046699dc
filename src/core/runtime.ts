/**
 * The runtime: what runs one container as kernel objects, and keeps running it without the daemon.
 *
 *   engine ──create──▶ Runtime ──plan──▶ shim ──clone3──▶ init (stopped before its exec)
 *   engine ──start───▶ Task                            ──▶ init runs
 *   engine ◀─exited── Task   (also after a daemon restart: recover)
 *   engine ──release─▶ Task                               shim, cgroups and run folder are gone
 *
 * Vocabulary: a task is one run of a container: an init process with its namespaces and cgroups, and the processes that
 * exec added to it. A restarted container has a new task. The shim is the task's supervisor process; it outlives the daemon.
 *
 * Streams: an attachment is a stream socket whose other end the shim serves. Without a terminal, what the shim sends is
 * Docker's multiplexed framing ([1|2,0,0,0,len32be] + data), ready to be piped to a client; with one, raw bytes. What is
 * written to it is the process's stdin; ending the writable side closes that stdin (stdinOnce) or only detaches.
 */
import type { Duplex } from "node:stream";
import type { OciSpec } from "../lib/oci-spec.ts";
import type { UserMaps } from "../lib/user-maps.ts";
import type { TaskStats } from "./stats.ts";

export interface Runtime {
  /** Makes namespaces, cgroups, mounts and the init process, stopped before it executes the container's program.
   *  On failure everything is undone and the error says which step failed (GantryError; "system" unless the program or the
   *  user does not exist, see RuntimeFailure). */
  create(request: TaskRequest): Promise<Task>;
  /** The plan that create would execute, for people to read. Nothing is done. */
  explain(request: TaskRequest): string;
  /** What is left of the task `id` after a daemon restart. Never fails for a task that is gone. */
  recover(id: string): Promise<RecoveredTask>;
  /** Ids that have a run folder: for collecting what no container owns. */
  list(): Promise<string[]>;
  /** Removes whatever is left of a task that no shim serves: processes, cgroups, run folder. Idempotent. */
  purge(id: string): Promise<void>;
  /** Disconnects from launcher and shims. Containers go on. */
  close(): Promise<void>;
}

export type RecoveredTask =
  | { kind: "running"; task: Task }
  | { kind: "exited"; exit: ExitStatus }
  /** No shim and no exit record: the machine was restarted, or the shim was killed. Leftovers were purged. */
  | { kind: "gone" };

export interface TaskRequest {
  id: string;
  spec: OciSpec;
  /** Another runtime that makes the container; absent: our own. */
  runtime?: RuntimeProgram;
  /** What makes the root file system, in order, mounted inside the container's own mount namespace. From the storage driver. */
  rootfs: RootfsMount[];
  /** An open network namespace to join instead of spec.linux.namespaces' own entry. Not closed by the runtime. */
  netnsFd?: number;
  stdio: StdioRequest;
  log: LogRequest;
  /** Start at once when created: saves one round trip. The Task is then already running. */
  autostart: boolean;
  /** A folder that Task.checkpoint wrote: the processes come from there, and run from the beginning. */
  checkpoint?: string;
  /** Called with each step's name and duration, for `--trace`. */
  trace?: (step: string, microseconds: number) => void;
}

/** An OCI runtime by its command line. */
export interface RuntimeProgram {
  /** A path, or a name to be found in PATH. */
  path: string;
  /** Before all others. */
  args: readonly string[];
  /** NAME=value, beside what finds programs. */
  env?: readonly string[];
  /** Where it keeps its state (--root); absent: in the container's run folder, with which it goes. */
  root?: string;
}

export type RootfsMount =
  | { type: "overlay"; lower: string[]; upper: string; work: string; options: string[]; /** Its files have the ids of containers with these maps; on the disk they are what they are inside. */ maps?: UserMaps }
  | { type: "bind"; source: string; readonly: boolean; maps?: UserMaps };

export interface StdioRequest {
  terminal: boolean;
  /** Initial size in characters; only with a terminal. */
  consoleSize?: { width: number; height: number };
  /** false: stdin is /dev/null. */
  stdin: boolean;
  /** Close the process's stdin when the first attached writer ends or leaves (Config.StdinOnce). */
  stdinOnce: boolean;
}

/** Where the shim writes what init prints; it is the only writer. Execs are never logged. */
export type LogRequest =
  | { kind: "none" }
  /** Docker's json-file format: one {"log","stream","time"} object a line; lines over 16 KiB are split without a newline in
   *  all but the last part. Files rotate to path.1, path.2, ... up to maxFiles in all when path would pass maxBytes. */
  | { kind: "json-file"; path: string; maxBytes?: number; maxFiles: number; attributes?: Record<string, string> };

export interface ExitStatus {
  /** 0-255; 128 + signal number when a signal ended it. */
  code: number;
  /** Nanoseconds since 1970. */
  at: bigint;
  /** The kernel's OOM killer ended a process of this task. */
  oomKilled: boolean;
}

export interface Task {
  readonly id: string;
  /** The init process, as the host sees it. */
  readonly pid: number;
  /** When init executed the container's program, in nanoseconds since 1970; undefined before start. */
  readonly startedAt: bigint | undefined;
  /** Resolves when init has ended and its exit record is on disk. Never rejects: a killed shim gives code 137. */
  readonly exited: Promise<ExitStatus>;
  /** Lets a created init execute the program. Fails with RuntimeFailure when exec itself fails. */
  start(): Promise<void>;
  /** To init, or with `all` to every process of the task. "not-found" when it has ended. */
  signal(signal: number, options?: { all?: boolean }): Promise<void>;
  /** Init's streams. Several may be attached at once. Output from now on; what was printed before is in the log. */
  attach(options: AttachOptions): Promise<Duplex>;
  resize(size: { width: number; height: number }): Promise<void>;
  exec(request: ExecRequest): Promise<ExecTask>;
  /** Processes of the task as the host sees them, from its cgroups. */
  pids(): Promise<number[]>;
  /** What the task has used so far. */
  stats(): Promise<TaskStats>;
  /** Freezes and thaws by the freezer cgroup. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Applies new limits to the running task; only the given fields change. */
  update(resources: NonNullable<NonNullable<OciSpec["linux"]>["resources"]>): Promise<void>;
  /** Other limits and attributes of the log, from the next line on; files beyond the limits go. The path stays. A supervisor of an older version refuses. */
  changeLog(log: LogRequest): Promise<void>;
  /** Writes the processes to an existing folder; then they end. Needs the program criu. After a failure they go on. */
  checkpoint(request: CheckpointRequest): Promise<void>;
  /** After exit: ends the shim, removes cgroups and the run folder. Idempotent; goes on after errors and reports them. */
  release(): Promise<void>;
}

export interface CheckpointRequest {
  folder: string;
  leaveRunning: boolean;
  /** The network namespace was given (TaskRequest.netnsFd), and will be again. */
  givenNetwork: boolean;
}

export interface AttachOptions {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
}

export interface ExecRequest {
  id: string;
  process: OciSpec["process"] & {};
  stdio: StdioRequest;
  /** Attach before the program runs, so that no output is lost. Absent: output is discarded. */
  attach?: AttachOptions;
}

export interface ExecTask {
  readonly pid: number;
  readonly exited: Promise<ExitStatus>;
  /** Present when ExecRequest.attach was. */
  readonly stream: Duplex | undefined;
  resize(size: { width: number; height: number }): Promise<void>;
  signal(signal: number): Promise<void>;
}

/** Why a process could not be made, for exit codes 126 and 127 and Docker's error texts.
 *  Thrown as the `cause` of a GantryError. */
export interface RuntimeFailure {
  /** The name of the plan's step, such as "mount", "exec", "user". */
  step: string;
  /** Errno name, such as "ENOENT". */
  errno: string;
  /** The path or value concerned. */
  subject: string;
  kind: "program-not-found" | "program-not-executable" | "user-not-found" | "other";
}
