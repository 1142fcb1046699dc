/** Starts gantryd in the background when nobody said which daemon to use and none answers. */
import fs from "node:fs";
import { ApiError } from "./api/client.ts";
import type { Endpoint } from "./api/endpoint.ts";
import type { Session } from "./session.ts";

const IDLE_SECONDS = 600;
const PATIENCE_MS = 60_000;
const QUIET_MS = 1000;
const STEP_MS = 20;
/** A daemon that ends at once may have met another one that is just coming up. */
const RIVAL_MS = 1000;
const DATA_ROOT = "/var/lib/gantry";

/** True when a daemon answers now. Throws an ApiError that says what to do when none can be started. */
export async function startDaemon(session: Session, endpoint: Endpoint): Promise<boolean> {
  const command = session.wiring.daemon;
  if (!command || !fs.existsSync(command[0] as string)) return false;
  if (process.getuid?.() !== 0) {
    throw new ApiError(0, `No daemon answers at ${endpoint.host}, and only root can start one.\nRun: sudo ${session.program} ${process.argv.slice(2).join(" ")}\nor point DOCKER_HOST at a daemon that you may use.`);
  }
  const log = `${DATA_ROOT}/gantryd.log`;
  const runFolder = (endpoint.socketPath as string).replace(/\/[^/]*$/, "");
  fs.mkdirSync(DATA_ROOT, { recursive: true, mode: 0o711 });
  fs.mkdirSync(runFolder, { recursive: true, mode: 0o711 });
  using lock = new StartLock(`${runFolder}/start.lock`);
  return await waitUntilReady(session, endpoint, { command, log, lock });
}

/** One of several clients starts the daemon; a lock whose owner is gone counts for nothing. */
class StartLock implements Disposable {
  readonly #path: string;
  #held = false;

  constructor(path: string) {
    this.#path = path;
  }

  take(): boolean {
    if (!this.#held && this.#isStale()) {
      try {
        fs.writeFileSync(this.#path, String(process.pid), { flag: "wx" });
        this.#held = true;
      } catch (thrown) {
        if ((thrown as NodeJS.ErrnoException).code !== "EEXIST") throw thrown;
      }
    }
    return this.#held;
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
    if (this.#held) fs.rmSync(this.#path, { force: true });
  }
}

interface Launched {
  /** Set when it has ended. */
  status: number | undefined;
  endedAt: number;
  /** Where its part of the log begins. */
  logStart: number;
}

/** Starts it in a session of its own, with its output in the log. */
function launch(command: string[], log: string): Launched {
  const [program = "", ...args] = command;
  const output = fs.openSync(log, "a", 0o640);
  const launched: Launched = { status: undefined, endedAt: 0, logStart: fs.fstatSync(output).size };
  const child = process.getBuiltinModule("node:child_process").spawn(program, [...args, "--idle-exit", String(IDLE_SECONDS)], {
    detached: true,
    stdio: ["ignore", output, output],
    cwd: "/",
  });
  fs.closeSync(output);
  child.unref();
  child.on("exit", (status) => {
    Object.assign(launched, { status: status ?? 1, endedAt: Date.now() });
  });
  child.on("error", () => {
    Object.assign(launched, { status: 127, endedAt: Date.now() });
  });
  return launched;
}

interface Start {
  command: string[];
  log: string;
  lock: StartLock;
}

async function waitUntilReady(session: Session, endpoint: Endpoint, start: Start): Promise<boolean> {
  const begin = Date.now();
  const { command, log, lock } = start;
  let told = false;
  let launched: Launched | undefined;
  const fail = (message: string): ApiError => new ApiError(0, `${told ? "\n" : ""}${message}`);
  for (;;) {
    if (await answers(endpoint)) {
      if (told) session.err.write(" ready\n");
      return true;
    }
    if (!launched && lock.take()) launched = launch(command, log);
    const waited = Date.now() - begin;
    if (launched?.status !== undefined && Date.now() - launched.endedAt > RIVAL_MS) throw fail(`gantryd ended with status ${launched.status} while starting. It wrote to ${log}:\n${lastLines(log, launched.logStart)}`);
    if (waited > PATIENCE_MS) throw fail(`gantryd does not answer at ${endpoint.host} after ${PATIENCE_MS / 1000} seconds. Its log is ${log}`);
    if (waited > QUIET_MS && !told) {
      session.err.write(`Starting gantryd (log: ${log}) ...`);
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

function lastLines(file: string, from: number): string {
  try {
    return fs.readFileSync(file).subarray(from).toString().trimEnd().split("\n").slice(-5).join("\n");
  } catch {
    return "(empty)";
  }
}
