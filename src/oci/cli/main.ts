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
import { defaultRoot, isRootless } from "./rootless.ts";
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
  pause: async () => (await import("./pause.ts")).pause,
  resume: async () => (await import("./pause.ts")).resume,
  ps: async () => (await import("./ps.ts")).ps,
  update: async () => (await import("./update.ts")).update,
  events: async () => (await import("./events.ts")).events,
  features: async () => (await import("./features.ts")).features,
  checkpoint: async () => (await import("./checkpoint.ts")).checkpoint,
  restore: async () => (await import("./restore.ts")).restore,
  plan: async () => (await import("./plan.ts")).plan,
};

const globals: FlagSpec[] = [
  { name: "root", type: path, default: defaultRoot() },
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
    if (flags.bool("version")) return print(`${caller.program} version ${version}\nspec: ${ociVersion}\n`);
    const [name, ...rest] = args;
    if (name === undefined || flags.bool("help")) return print(await help(caller));
    if (name === "help" || name === "h") return print(rest[0] === undefined ? await help(caller) : commandHelp(await commandNamed(rest[0], caller), caller));
    refuseGlobals(flags);
    return await runCommand(name, rest, { flags, log, caller });
  } catch (error) {
    if (error instanceof NotServed) throw error;
    return report(error, { log, code: 1 });
  }
}

async function runCommand(name: string, line: readonly string[], { flags: global, log, caller }: { flags: FlagValues; log: Log; caller: Caller }): Promise<number> {
  const command = await commandNamed(name, caller);
  const print = printTo(caller);
  const { flags, args } = parseFlags([...command.flags, { name: "help", shorthand: "h", type: bool }], command.argumentsEndFlags ? line : withTwoDashes(command.flags, line), { interspersed: command.argumentsEndFlags !== true });
  if (flags.bool("help")) return print(commandHelp(command, caller));
  const [least, most] = command.arguments;
  if (args.length < least || args.length > most) throw invalidParameter(`${caller.program} ${name}: ${args.length < least ? "missing" : "too many"} arguments, usage: ${usageOf(command, caller)}`);
  caller.admit?.(command, [...makeAbsolute(globals, global, caller), ...makeAbsolute(command.flags, flags, caller)]);
  try {
    return await command.run({ flags, args, caller, store: new ContainerStore(global.string("root")), rootGiven: global.changed("root"), systemdCgroup: global.bool("systemd-cgroup"), warn: (message) => log("warning", message), debug: (message) => (global.bool("debug") ? log("debug", message) : undefined), print });
  } catch (error) {
    if (error instanceof NotServed) throw error;
    return report(error, { log, code: command.failureCode ?? 1, prefix: prefixOf(command, caller) });
  }
}

async function commandNamed(name: string, { program }: Caller): Promise<Command> {
  const command = await lookup(commands, name)?.();
  if (command) return command;
  throw invalidParameter(`No help topic for '${name}': unknown command of ${program}`);
}

/** runc takes a flag's name after one dash, too: containerd restores with "-no-subreaper". */
function withTwoDashes(flags: readonly FlagSpec[], line: readonly string[]): string[] {
  return line.map((argument) => (flags.some(({ name }) => argument === `-${name}` || argument.startsWith(`-${name}=`)) ? `-${argument}` : argument));
}

function report(error: unknown, { log, code, prefix = "" }: { log: Log; code: number; prefix?: string }): number {
  log("error", prefix + messageOf(error));
  return code;
}

/** "runc create failed: " and "exec failed: ", which clients of runc know. */
function prefixOf({ failurePrefix: prefix, name }: Command, { program }: Caller): string {
  if (prefix === undefined) return "";
  return name === "exec" ? `${prefix}: ` : `${program} ${prefix}: `;
}

function refuseGlobals(flags: FlagValues): void {
  const rootless = flags.string("rootless");
  if (!["auto", "true", "false"].includes(rootless)) throw invalidParameter(`--rootless ${JSON.stringify(rootless)}: it is true, false or auto`);
  if (rootless === "false" && isRootless()) throw invalidParameter("--rootless false: only root can run other containers");
  if (rootless === "true" && !isRootless()) throw notImplemented("--rootless true as root is not supported: root makes cgroups");
}

type Log = (level: "error" | "warning" | "debug", message: string) => void;

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

const usageOf = (command: Command, { program }: Caller): string => `${program} ${command.name} [flags] ${command.usage}`.trimEnd();
const flagText = ({ name, shorthand, type }: FlagSpec): string => `   ${shorthand === undefined ? "" : `-${shorthand}, `}--${name}${type.word === "" ? "" : ` ${type.word}`}\n`;

async function help({ program }: Caller): Promise<string> {
  const all = await Promise.all(Object.values(commands).map((load) => load()));
  const width = Math.max(...all.map(({ name }) => name.length)) + 3;
  return `NAME:
   ${program} - Open Container Initiative runtime

USAGE:
   ${program} [global flags] COMMAND [flags] [arguments]

COMMANDS:
${all.map(({ name, about }) => `   ${name.padEnd(width)}${about}\n`).join("")}
GLOBAL FLAGS:
${globals.map(flagText).join("")}`;
}

const commandHelp = (command: Command, caller: Caller): string =>
  `NAME:\n   ${caller.program} ${command.name} - ${command.about}\n\nUSAGE:\n   ${usageOf(command, caller)}\n${command.flags.length > 0 ? `\nFLAGS:\n${command.flags.map(flagText).join("")}` : ""}`;
