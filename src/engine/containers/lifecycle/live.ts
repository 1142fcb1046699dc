/** What the engine holds in memory of a container, beside its record: the task, who waits for it, and its execs. */
import type { Duplex } from "node:stream";
import type { Caller } from "../../../core/caller.ts";
import type { ContainerRecord } from "../../../core/container.ts";
import type { AttachOptions, Task } from "../../../core/runtime.ts";
import type { ExecInstance } from "../exec/instance.ts";

export interface WaitResult {
  exitCode: number;
  error: string;
}

/** An attachment that was asked for before the task exists; a start fulfils it before the program runs. */
export interface PendingAttachment {
  options: AttachOptions;
  resolve: (stream: Duplex) => void;
}

/** Who is told of an end waits so long for clients that are attached and do not read. */
const LAST_OUTPUT_MS = 250;
/** A program that has closed its streams has mostly ended: who asks for its state then waits so long for its end. */
const CLOSING_MS = 1000;

export class LiveContainer {
  task: Task | undefined;
  /** Resolves when nothing of the last task is left; nobody but the next one, and who mounts the container's layer, waits for it. */
  released: Promise<void> | undefined;
  /** The last start's steps, for `run --trace`; empty when they were not asked for. */
  trace: { name: string; microseconds: number }[] = [];
  /** A stop or kill by a user is under way: the restart policy is not asked. */
  stopping = false;
  /** Emit "stop" when the exit is seen, before "die"; with who asked for it. */
  stopEvent: { by: Caller | undefined } | undefined;
  /** A restart by a user is under way: what ends meanwhile is not removed. */
  restarting = false;
  /** The state in which recovery found what its policy wants running, until that is done. */
  due: ContainerRecord["state"] | undefined;
  restart: { timer: NodeJS.Timeout; cancel: () => void } | undefined;
  restartDelay = 0;
  /** An attached client has seen the end of the output, and the end itself is about to be recorded: resolves then, or when it is not. */
  ending: Promise<unknown> | undefined;
  /** Old files of the task's log are compressed when that is wanted. */
  compressing = false;
  readonly execs = new Map<string, ExecInstance>();
  readonly pending = new Set<PendingAttachment>();
  /** Of attached clients; each leaves when it has carried everything. */
  readonly #attached = new Map<Duplex, Promise<void>>();
  /** Of attached clients: each settles when its client has received what was sent to it, or takes too long. */
  readonly receipts = new Set<() => Promise<void>>();
  readonly #exitWaiters = new Set<(result: WaitResult) => void>();
  readonly #removalWaiters = new Set<(result: WaitResult) => void>();
  readonly #healthWaiters = new Set<(result: WaitResult) => void>();

  /** A client is attached to the task by this stream. */
  attached(stream: Duplex): void {
    const over = new Promise<void>((resolve) => {
      for (const event of ["end", "close"]) stream.once(event, resolve);
    });
    this.#attached.set(stream, over.then(() => void this.#attached.delete(stream)));
    stream.once("end", () => {
      if (this.task) this.ending ??= this.nextExit(AbortSignal.timeout(CLOSING_MS)).catch(() => {}).finally(() => (this.ending = undefined));
    });
  }

  /** Resolves when attached clients have all that was printed, as they do before anyone hears of the end; undefined: nobody is attached. */
  outputCarried(): Promise<unknown> | undefined {
    if (this.#attached.size === 0) return undefined;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, LAST_OUTPUT_MS)));
    return Promise.race([Promise.all(this.#attached.values()), late]).finally(() => clearTimeout(timer));
  }

  /** Resolves at the next exit of a task, also when the container's policy restarts it, or when the restart that it waits for is given up. */
  nextExit(signal: AbortSignal): Promise<WaitResult> {
    return waiter(this.#exitWaiters, signal);
  }

  nextRemoval(signal: AbortSignal): Promise<WaitResult> {
    return waiter(this.#removalWaiters, signal);
  }

  /** Resolves when the health check first says so; with an error when the container's end comes before. */
  nextHealthy(signal: AbortSignal): Promise<WaitResult> {
    return waiter(this.#healthWaiters, signal);
  }

  tellHealthy(): void {
    settle(this.#healthWaiters, { exitCode: 0, error: "" });
  }

  tellExit(result: WaitResult): void {
    settle(this.#exitWaiters, result);
  }

  /** It ended, and nobody is about to start it again. */
  tellNeverHealthy(result: WaitResult): void {
    settle(this.#healthWaiters, { ...result, error: result.error || "the container ended before it was healthy" });
  }

  tellRemoval(result: WaitResult): void {
    this.tellExit(result);
    this.tellNeverHealthy(result);
    settle(this.#removalWaiters, result);
  }
}

function waiter(set: Set<(result: WaitResult) => void>, signal: AbortSignal): Promise<WaitResult> {
  return new Promise((resolve, reject) => {
    const settleOne = (result: WaitResult): void => {
      signal.removeEventListener("abort", abort);
      resolve(result);
    };
    const abort = (): void => {
      set.delete(settleOne);
      reject(signal.reason as Error);
    };
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    set.add(settleOne);
  });
}

function settle(set: Set<(result: WaitResult) => void>, result: WaitResult): void {
  const all = [...set];
  set.clear();
  for (const resolve of all) resolve(result);
}
