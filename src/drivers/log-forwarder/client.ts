/**
 * The daemon's side of gantry-logs, a process of its own so that neither the volume of logs nor a server's slowness is felt
 * by requests. It is started with the first log that is sent on, and started again, with all of them, when it dies.
 */
import type { ChildProcessByStdio } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import type { ForwardTarget, LogForwarder } from "../../core/log-forwarder.ts";
import type { LogCommand, LogReport } from "./protocol.ts";

export interface ForwarderOptions {
  start: () => ChildProcessByStdio<Writable, Readable, null>;
  isBehind: LogForwarder["isBehind"];
  warn: (message: string) => void;
}

interface Entry {
  target: ForwardTarget;
  ended: boolean;
  run: number;
  drained: PromiseWithResolvers<void>;
}

const AGAIN_MS = 1000;
const CLOSE_MS = 2000;

/** Undefined for the beginning of one, which a process that was killed has left. */
function reportIn(line: string): LogReport | undefined {
  try {
    return JSON.parse(line) as LogReport;
  } catch {
    return undefined;
  }
}

export class LogForwarderProcess implements LogForwarder {
  readonly #options: ForwarderOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #verifications = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();
  #child: ReturnType<ForwarderOptions["start"]> | undefined;
  #serial = 0;
  #closed = false;

  constructor(options: ForwarderOptions) {
    this.#options = options;
  }

  get isBehind(): LogForwarder["isBehind"] {
    return this.#options.isBehind;
  }

  verify(target: ForwardTarget): Promise<void> {
    const serial = ++this.#serial;
    return new Promise((resolve, reject) => {
      this.#verifications.set(serial, { resolve, reject });
      this.#say({ kind: "verify", serial, target });
    });
  }

  forward(target: ForwardTarget): void {
    const found = this.#entries.get(target.id);
    this.#entries.set(target.id, { target, ended: false, run: (found?.run ?? 0) + 1, drained: found?.drained ?? Promise.withResolvers() });
    this.#say({ kind: "forward", target });
  }

  ended(id: string): void {
    const entry = this.#entries.get(id);
    if (!entry) return;
    entry.ended = true;
    this.#say({ kind: "end", id, run: entry.run });
  }

  drained(id: string): Promise<void> | undefined {
    return this.#entries.get(id)?.drained.promise;
  }

  drop(id: string): void {
    const entry = this.#entries.get(id);
    if (!entry) return;
    this.#entries.delete(id);
    entry.drained.resolve();
    this.#say({ kind: "drop", id });
  }

  async close(): Promise<void> {
    this.#closed = true;
    const child = this.#child;
    if (!child) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => child.kill("SIGKILL"), CLOSE_MS);
      child.once("exit", () => (clearTimeout(timer), resolve()));
      child.stdin.end();
    });
  }

  #say(command: LogCommand): void {
    if (this.#closed) return;
    if (this.#child) this.#child.stdin.write(`${JSON.stringify(command)}\n`);
    else if (command.kind === "verify") this.#start(command);
    else if (this.#entries.size > 0) this.#start(undefined);
  }

  /** Says everything there is to be done; a verification is none of that. */
  #start(first: LogCommand | undefined): void {
    const child = this.#options.start();
    this.#child = child;
    child.stdin.on("error", () => {});
    child.on("error", (error) => this.#gone(child, error.message));
    child.on("exit", (code, signal) => this.#gone(child, `it ended with ${signal ?? code}`));
    // A daemon that sends no log on starts without it.
    const { createInterface } = process.getBuiltinModule("node:readline");
    createInterface({ input: child.stdout }).on("line", (line) => this.#heard(reportIn(line)));
    if (first) this.#say(first);
    for (const entry of this.#entries.values()) this.#sayAll(entry);
  }

  #sayAll({ target, ended, run }: Entry): void {
    this.#say({ kind: "forward", target });
    if (ended) this.#say({ kind: "end", id: target.id, run });
  }

  #gone(child: object, why: string): void {
    if (this.#child !== child || this.#closed) return;
    this.#child = undefined;
    this.#options.warn(`sending logs on: gantry-logs: ${why}; it is started again`);
    for (const { reject } of this.#verifications.values()) reject(new Error(`gantry-logs: ${why}`));
    this.#verifications.clear();
    setTimeout(() => {
      if (this.#child === undefined && this.#entries.size > 0 && !this.#closed) this.#start(undefined);
    }, AGAIN_MS).unref();
  }

  #heard(report: LogReport | undefined): void {
    switch (report?.kind) {
      case "warning":
        return this.#options.warn(report.text);
      case "verified": {
        const waiting = this.#verifications.get(report.serial);
        this.#verifications.delete(report.serial);
        return report.problem === undefined ? waiting?.resolve() : waiting?.reject(new Error(report.problem));
      }
      case "drained": {
        const entry = this.#entries.get(report.id);
        if (entry?.ended === true && entry.run === report.run) this.drop(report.id);
        return;
      }
      case "failed": {
        const entry = this.#entries.get(report.id);
        if (entry) this.#sayAll(entry);
      }
    }
  }
}
