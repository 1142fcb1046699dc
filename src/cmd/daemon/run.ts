/** Runs a daemon until a signal or idleness ends it. */
import { readdirSync } from "node:fs";
import { setPriority } from "node:os";
import { messageOf } from "../../lib/errors.ts";
import type { FlagValues } from "../../lib/flags.ts";
import { Daemon } from "./daemon.ts";
import type { DaemonConfig } from "./config.ts";
import { dumpState } from "./dump.ts";

/** So many requests to end make it end at once. */
const IMPATIENCE = 3;
/** How long what is still open may keep the process after the daemon has let go of everything. */
const EXIT_MILLISECONDS = 2_000;
/** So long after its start its entry may keep the compiled code (scripts/bundle.ts): the first requests have been answered. */
const STARTED_MILLISECONDS = 1_000;
/** As Go programs end on SIGQUIT. */
const QUIT_CODE = 2;
/** Files that say no mode of their own are not for others to write, whoever started the daemon. */
const UMASK = 0o022;

/** Below zero is before others: answers come although containers use all processors. Containers start at zero (native/shim/launcher.c). */
const NICE = -5;

/** Threads have a priority each; V8's, which are there already, do what the first one waits for. */
function preferUs(): void {
  try {
    for (const thread of readdirSync("/proc/self/task")) setPriority(Number(thread), NICE);
  } catch {
    // Without the right to, we wait our turn.
  }
}

/** Resolves with the process's exit code. */
export async function run(config: DaemonConfig, flags: FlagValues): Promise<number> {
  process.umask(UMASK);
  preferUs();
  // Nobody reads the log any more: that is no reason to end.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  const daemon = new Daemon(config, flags);
  const { log } = daemon;
  let interrupts = 0;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, (_name, number) => {
      log.info(`Processing signal '${signal === "SIGINT" ? "interrupt" : "terminated"}'`);
      interrupts++;
      if (interrupts === 1) void daemon.stop();
      if (interrupts < IMPATIENCE) return;
      log.info(`Forcing the daemon's end without cleanup; ${IMPATIENCE} interrupts received`);
      process.exit(128 + (number ?? 15));
    });
  }
  process.on("SIGHUP", () => daemon.reload());
  process.on("SIGUSR1", () => dumpState(config.execRoot, log));
  process.on("SIGQUIT", () => {
    dumpState(config.execRoot, log);
    process.exit(QUIT_CODE);
  });
  // One mistake in one request must not end what serves all others.
  process.on("uncaughtException", (error) => log.error(`uncaught: ${error.stack ?? error.message}`));
  process.on("unhandledRejection", (error) => log.error(`unhandled: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`));
  try {
    await daemon.start();
  } catch (error) {
    process.stderr.write(`failed to start daemon: ${messageOf(error)}\n`);
    return 1;
  }
  setTimeout(() => (process as NodeJS.EventEmitter).emit("gantryd:started"), STARTED_MILLISECONDS).unref();
  await daemon.stopped();
  setTimeout(() => process.exit(0), EXIT_MILLISECONDS).unref();
  return 0;
}
