/** Starts gantryd in the background when nobody said which daemon to use and none answers. */
import fs from "node:fs";
import type { Endpoint } from "./api/endpoint.ts";
import type { Session } from "./session.ts";

const IDLE_SECONDS = 600;
const PATIENCE_MS = 60_000;
const QUIET_MS = 1000;
const STEP_MS = 20;
const DATA_ROOT = "/var/lib/gantry";

/** True when a daemon answers now. Throws an Error that says what to do when none can be started. */
export async function startDaemon(session: Session, endpoint: Endpoint): Promise<boolean> {
  const command = session.wiring.daemon;
  if (!command || !fs.existsSync(command[0] as string)) return false;
  if (process.getuid?.() !== 0) {
    throw new Error(`No daemon answers at ${endpoint.host}, and only root can start one.\nRun: sudo ${session.program} ${process.argv.slice(2).join(" ")}\nor point DOCKER_HOST at a daemon that you may use.`);
  }
  const log = `${DATA_ROOT}/gantryd.log`;
  const runFolder = (endpoint.socketPath as string).replace(/\/[^/]*$/, "");
  fs.mkdirSync(DATA_ROOT, { recursive: true, mode: 0o711 });
  fs.mkdirSync(runFolder, { recursive: true, mode: 0o711 });
  using start = new StartLock(`${runFolder}/start.lock`);
  const exited = start.held ? launch(command, log) : undefined;
  return waitUntilReady(session, endpoint, { log, exited });
}

/** One of several clients starts the daemon; a lock whose owner is gone counts for nothing. */
class StartLock implements Disposable {
  readonly held: boolean;
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
    this.held = this.#take() || (this.#isStale() && this.#take());
  }

  #take(): boolean {
    try {
      fs.writeFileSync(this.#path, String(process.pid), { flag: "wx" });
      return true;
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code === "EEXIST") return false;
      throw thrown;
    }
  }

  #isStale(): boolean {
    try {
      const owner = Number(fs.readFileSync(this.#path, "utf8"));
      if (owner > 0 && fs.existsSync(`/proc/${owner}`)) return false;
      fs.rmSync(this.#path, { force: true });
    } catch {}
    return true;
  }

  [Symbol.dispose](): void {
    if (this.held) fs.rmSync(this.#path, { force: true });
  }
}

/** Starts it in a session of its own, with its output in the log. Resolves with its status if it ends. */
function launch(command: string[], log: string): { status: number | undefined } {
  const [program = "", ...args] = command;
  const output = fs.openSync(log, "a", 0o640);
  const child = process.getBuiltinModule("node:child_process").spawn(program, [...args, "--idle-exit", String(IDLE_SECONDS)], {
    detached: true,
    stdio: ["ignore", output, output],
    cwd: "/",
  });
  fs.closeSync(output);
  child.unref();
  const exited: { status: number | undefined } = { status: undefined };
  child.on("exit", (status, signal) => {
    exited.status = status ?? (signal ? 128 : 1);
  });
  child.on("error", () => {
    exited.status = 127;
  });
  return exited;
}

async function waitUntilReady(session: Session, endpoint: Endpoint, start: { log: string; exited: { status: number | undefined } | undefined }): Promise<boolean> {
  const begin = Date.now();
  let told = false;
  for (;;) {
    if (await answers(endpoint)) {
      if (told) session.err.write(" ready\n");
      return true;
    }
    const waited = Date.now() - begin;
    if (start.exited?.status !== undefined) throw new Error(`${told ? "\n" : ""}gantryd ended with status ${start.exited.status} while starting. The end of ${start.log}:\n${lastLines(start.log)}`);
    if (waited > PATIENCE_MS) throw new Error(`${told ? "\n" : ""}gantryd does not answer at ${endpoint.host} after ${PATIENCE_MS / 1000} seconds. Its log is ${start.log}`);
    if (waited > QUIET_MS && !told) {
      session.err.write(`Starting gantryd (log: ${start.log}) ...`);
      told = true;
    }
    await new Promise((resolve) => setTimeout(resolve, STEP_MS));
  }
}

async function answers(endpoint: Endpoint): Promise<boolean> {
  try {
    (await endpoint.dial()).destroy();
    return true;
  } catch {
    return false;
  }
}

function lastLines(file: string): string {
  try {
    return fs.readFileSync(file, "utf8").trimEnd().split("\n").slice(-5).join("\n");
  } catch {
    return "(empty)";
  }
}
