/** gantry-runtime's command line: runc's grammar (global flags, subcommand, its flags, arguments), log and exit codes. */
import { appendFileSync } from "node:fs";
import { invalidParameter, messageOf, notImplemented } from "../../lib/errors.ts";
import type { FlagSpec, FlagValues } from "../../lib/flags.ts";
import { bool, parseFlags, string } from "../../lib/flags.ts";
import { lookup } from "../../lib/lookup.ts";
import { ociVersion } from "../../core/oci-defaults.ts";
import type { Caller } from "./caller.ts";
import { NotServed, ownProcess } from "./caller.ts";
import type { Command } from "./command.ts";
import { makeAbsolute, path } from "./paths.ts";
import { ContainerStore } from "./store.ts";

/** Loaded when called: what a command needs of Node costs more than what most commands do. */
const commands: Record<string, () => Promise<Command>> = {
  create: async () => (await import("./create.ts")).create,
  start: async () => (await import("./start.ts")).start,
  state: async () => (await import("./state.ts")).state,
  kill: async () => (await import("./kill.ts")).kill,
  delete: async () => (await import("./delete.ts")).deleteCommand,
  run: async () => (await import("./run.ts")).run,
  exec: async () => (await import("./exec.ts")).exec,
  list: async () => (await import("./list.ts")).list,
  spec: async () => (await import("./spec.ts")).spec,
  plan: async () => (await import("./plan.ts")).plan,
};

/** Subcommands of runc that are not done. */
const unfinished = new Set(["checkpoint", "events", "features", "pause", "ps", "restore", "resume", "update"]);

const globals: FlagSpec[] = [
  { name: "root", type: path, default: "/run/gantry-runtime" },
  { name: "log", type: path },
  { name: "log-format", type: string, default: "text" },
  { name: "debug", type: bool },
  { name: "systemd-cgroup", type: bool },
  { name: "rootless", type: string, default: "auto" },
  { name: "help", shorthand: "h", type: bool },
  { name: "version", shorthand: "v", type: bool },
];

/** Rejects with NotServed alone, and only for a caller that refuses commands. */
export async function main(line: readonly string[], version: string, caller: Caller = ownProcess): Promise<number> {
  let log = logTo(caller, "", "text");
  const print = printTo(caller);
  try {
    const { flags, args } = parseFlags(globals, line, { interspersed: false });
    makeAbsolute(globals, flags, caller);
    log = openLog(caller, flags);
    if (flags.bool("version")) return print(`gantry-runtime version ${version}\nspec: ${ociVersion}\n`);
    const [name, ...rest] = args;
    if (name === undefined || name === "help" || flags.bool("help")) return print(await help());
    refuseGlobals(flags);
    return await runCommand(name, rest, { flags, log, caller });
  } catch (error) {
    if (error instanceof NotServed) throw error;
    return report(error, { log, code: 1 });
  }
}

async function runCommand(name: string, line: readonly string[], { flags: global, log, caller }: { flags: FlagValues; log: Log; caller: Caller }): Promise<number> {
  const command = await lookup(commands, name)?.();
  if (command === undefined) throw unfinished.has(name) ? notImplemented(`gantry-runtime ${name} is not supported yet`) : invalidParameter(`unknown command "${name}" for gantry-runtime`);
  const print = printTo(caller);
  const { flags, args } = parseFlags([...command.flags, { name: "help", shorthand: "h", type: bool }], line, { interspersed: false });
  if (flags.bool("help")) return print(commandHelp(command));
  const [least, most] = command.arguments;
  if (args.length < least || args.length > most) throw invalidParameter(`gantry-runtime ${name}: ${args.length < least ? "missing" : "too many"} arguments, usage: ${usageOf(command)}`);
  caller.admit?.(command, [...makeAbsolute(globals, global, caller), ...makeAbsolute(command.flags, flags, caller)]);
  try {
    return await command.run({ flags, args, caller, store: new ContainerStore(global.string("root")), rootGiven: global.changed("root"), warn: (message) => log("warning", message), print });
  } catch (error) {
    return report(error, { log, code: command.failureCode ?? 1 });
  }
}

function report(error: unknown, { log, code }: { log: Log; code: number }): number {
  log("error", messageOf(error));
  return code;
}

function refuseGlobals(flags: FlagValues): void {
  if (flags.bool("systemd-cgroup")) throw notImplemented("--systemd-cgroup is not supported: cgroups are made directly");
  if (flags.string("rootless") === "true" || process.geteuid?.() !== 0) throw notImplemented("gantry-runtime needs root: rootless containers are not supported");
}

type Log = (level: "error" | "warning", message: string) => void;

function openLog(caller: Caller, flags: FlagValues): Log {
  const format = flags.string("log-format");
  if (format !== "text" && format !== "json") throw invalidParameter(`invalid log-format: ${format}`);
  return logTo(caller, flags.string("log"), format);
}

/** As runc has it: entries go to the file, or to stderr without one; what failed is on stderr in either case. containerd and
 *  dockerd read the JSON form to find out why a call failed. */
function logTo(caller: Caller, file: string, format: "text" | "json"): Log {
  return (level, message) => {
    const time = new Date().toISOString().replace(/\.\d+Z$/, "Z");
    const entry = format === "json" ? JSON.stringify({ level, msg: message, time }) : `time=${JSON.stringify(time)} level=${level} msg=${JSON.stringify(message)}`;
    if (file === "") caller.write("stderr", `${entry}\n`);
    else appendFileSync(file, `${entry}\n`, { mode: 0o644 });
    if (file !== "" && level === "error") caller.write("stderr", `${message}\n`);
  };
}

const printTo = (caller: Caller) => (text: string): number => {
  caller.write("stdout", text);
  return 0;
};

const usageOf = (command: Command): string => `gantry-runtime ${command.name} [flags] ${command.usage}`.trimEnd();
const flagText = ({ name, shorthand, type }: FlagSpec): string => `  ${shorthand === undefined ? "" : `-${shorthand}, `}--${name}${type.word === "" ? "" : ` ${type.word}`}\n`;

async function help(): Promise<string> {
  const all = await Promise.all(Object.values(commands).map((load) => load()));
  const width = Math.max(...all.map(({ name }) => name.length)) + 3;
  return `Usage: gantry-runtime [global flags] COMMAND [flags] [arguments]

Runs containers from OCI bundles.

Commands:
${all.map(({ name, about }) => `  ${name.padEnd(width)}${about}\n`).join("")}
Global flags:
${globals.map(flagText).join("")}`;
}

const commandHelp = (command: Command): string => `Usage: ${usageOf(command)}\n\n${command.about}.\n${command.flags.length > 0 ? `\nFlags:\n${command.flags.map(flagText).join("")}` : ""}`;
