/** Daemons as processes, for tests. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request as send } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../../lib/eventually.testing.ts";

export const PROGRAM = join(import.meta.dirname, "../../gantryd.ts");
/** Why tests that start a daemon cannot run here; false when they can. */
export const cannotRun: string | false = process.getuid?.() === 0 ? false : "gantryd needs root";

/** A folder with daemons that have no default network; all of it is gone at the end. */
export class Bench implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "gantryd-test-"));
  readonly socket = join(this.folder, "s.sock");
  readonly #children: ChildProcess[] = [];

  /** Starts a daemon that has no default network; resolves with it and what it printed once that contains `until`. */
  async start(args: string[] = [], { until: wanted = "API listen on", env = {} }: { until?: string; env?: NodeJS.ProcessEnv } = {}): Promise<{ child: ChildProcess; text: () => string }> {
    const common = ["--config-file", join(this.folder, "daemon.json"), "--data-root", join(this.folder, "data"), "--exec-root", join(this.folder, "exec"), "-H", `unix://${this.socket}`, "--bridge=none"];
    if (!existsSync(join(this.folder, "daemon.json"))) writeFileSync(join(this.folder, "daemon.json"), "{}");
    const child = spawn(process.execPath, [PROGRAM, ...common, ...args], { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
    this.#children.push(child);
    let printed = "";
    for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk: Buffer) => (printed += chunk.toString()));
    await until(() => `${JSON.stringify(wanted)} in ${printed}`, () => printed.includes(wanted) || child.exitCode !== null);
    return { child, text: () => printed };
  }

  get(path: string, method = "GET"): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      send({ socketPath: this.socket, path, method }, (response) => {
        let body = "";
        response.on("data", (chunk: Buffer) => (body += chunk.toString()));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
      })
        .on("error", reject)
        .end();
    });
  }

  async end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill(signal);
      await once(child, "exit");
    }
    return child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) await this.end(child, "SIGTERM");
    await until("no process is left", () => !readdirSync("/proc").some((pid) => /^\d+$/.test(pid) && commandOf(pid).includes(this.folder)));
    rmSync(this.folder, { recursive: true });
  }
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}
