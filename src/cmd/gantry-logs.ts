/** Sends containers' logs on to log servers: gantry-logs, for a daemon that speaks to it over its standard input and output, and whose end it follows. */
import { hostname } from "node:os";
import { createInterface } from "node:readline";
import type { ForwardTarget } from "../core/log-forwarder.ts";
import type { LogDriver, LogSink } from "../core/log-driver.ts";
import type { LogCommand, LogReport } from "../drivers/log-forwarder/protocol.ts";
import { LogForward } from "../drivers/log-json-file/index.ts";
import { messageOf } from "../lib/errors.ts";

/** How long what is under way may take when the daemon goes. */
const LAST_SEND_MS = 500;
const AGAIN_MS = 1000;

const drivers: Record<string, () => Promise<LogDriver>> = {
  syslog: async () => (await import("../drivers/log-syslog/index.ts")).syslogDriver,
  awslogs: async () => (await import("../drivers/log-awslogs/index.ts")).awslogsDriver,
  gcplogs: async () => (await import("../drivers/log-gcplogs/index.ts")).gcplogsDriver,
  fluentd: async () => (await import("../drivers/log-fluentd/index.ts")).fluentdDriver,
  journald: async () => (await import("../drivers/log-journald/index.ts")).journaldDriver,
  splunk: async () => (await import("../drivers/log-splunk/index.ts")).splunkDriver,
  gelf: async () => (await import("../drivers/log-gelf/index.ts")).gelfDriver,
};

interface Running {
  forward: LogForward;
  over: Promise<void>;
}

/** The end that was told last, of each. */
const runs = new Map<string, number>();
const running = new Map<string, Running>();
const report = (message: LogReport): void => void process.stdout.write(`${JSON.stringify(message)}\n`);
const warn = (text: string): void => report({ kind: "warning", text });

process.title = "gantry-logs";
process.on("SIGHUP", () => {});
process.on("uncaughtException", (error) => warn(`gantry-logs: ${error.stack ?? error.message}`));
process.stdout.on("error", () => process.exit(0));

// One command after the other: a log that is dropped and forwarded again keeps its order.
let last: Promise<void> = Promise.resolve();
createInterface({ input: process.stdin })
  .on("line", (line) => {
    const command = JSON.parse(line) as LogCommand;
    if (command.kind === "verify") void verify(command.serial, command.target);
    else last = last.then(() => handle(command)).catch((error: unknown) => warn(messageOf(error)));
  })
  .on("close", () => void end());

async function open({ driver, origin, options }: ForwardTarget): Promise<LogSink> {
  const load = drivers[driver];
  if (!load) throw new Error(`no log driver named '${driver}' is registered`);
  return (await load()).open({ ...origin, hostName: hostname() }, options);
}

async function verify(serial: number, target: ForwardTarget): Promise<void> {
  try {
    const sink = await open(target);
    try {
      await sink.verify();
    } finally {
      await sink.close();
    }
    report({ kind: "verified", serial });
  } catch (error) {
    report({ kind: "verified", serial, problem: messageOf(error) });
  }
}

async function handle(command: Exclude<LogCommand, { kind: "verify" }>): Promise<void> {
  if (command.kind === "forward") return forward(command.target);
  const found = running.get(command.id);
  if (!found) return;
  if (command.kind === "end") {
    runs.set(command.id, command.run);
    return found.forward.end();
  }
  running.delete(command.id);
  runs.delete(command.id);
  found.forward.stop({ now: true });
  await found.over;
}

async function forward(target: ForwardTarget): Promise<void> {
  const { id, path, waiting, keep } = target;
  const sink = await open(target);
  const found = running.get(id);
  if (found) return found.forward.change(sink, { waiting, keep });
  const one = new LogForward({ id, path, waiting, keep, sink, warn, drained: () => report({ kind: "drained", id, run: runs.get(id) ?? 0 }) });
  const over = one.run().catch(async (error: unknown) => {
    warn(`the log of container ${id}: ${messageOf(error)}`);
    if (running.get(id)?.forward !== one) return;
    running.delete(id);
    setTimeout(() => report({ kind: "failed", id }), AGAIN_MS);
  });
  running.set(id, { forward: one, over });
}

async function end(): Promise<void> {
  const all = [...running.values()];
  for (const { forward: one } of all) one.stop({ now: false });
  setTimeout(() => process.exit(0), LAST_SEND_MS);
  await Promise.all(all.map(({ over }) => over));
  process.exit(0);
}
