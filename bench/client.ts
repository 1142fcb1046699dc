/** The measuring client (client.c), a process of its own: what a Node program measures is largely itself. */
import { execFile, execFileSync, spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Engine } from "../test/harness/engine.ts";

const run = promisify(execFile);

export class LeanClient {
  readonly #program: string;
  readonly #socket: string;

  constructor({ machine, socket }: Engine) {
    this.#socket = socket;
    this.#program = join(machine.folder, "client");
    execFileSync("cc", ["-O2", "-o", this.#program, join(import.meta.dirname, "client.c")]);
  }

  /** The milliseconds of each GET on a connection of its own, so many at once. */
  requests(path: string, { clients, count }: { clients: number; count: number }): Promise<number[]> {
    return this.#run("requests", path, clients, count);
  }

  /** From the request that renames the container to the last listener's event. */
  events(id: string, { listeners, count }: { listeners: number; count: number }): Promise<number[]> {
    return this.#run("events", listeners, id, count);
  }

  /** Pings with pauses for as long as the work takes. */
  async pings(pauseMs: number, work: () => Promise<unknown>): Promise<number[]> {
    const child = spawn(this.#program, ["pings", this.#socket, String(pauseMs)], { stdio: ["pipe", "pipe", "inherit"] });
    const printed = text(child.stdout);
    try {
      await work();
    } finally {
      child.stdin.end();
    }
    return numbers(await printed);
  }

  async #run(mode: string, ...args: (string | number)[]): Promise<number[]> {
    const { stdout } = await run(this.#program, [mode, this.#socket, ...args.map(String)]);
    return numbers(stdout);
  }
}

const numbers = (printed: string): number[] => printed.trim().split("\n").map(Number);
