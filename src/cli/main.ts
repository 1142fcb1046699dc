/**
 * The client's way from a command line to an exit status: global flags, the command's entry in the tree, its own flags and
 * arguments, then the command's module. Messages and statuses are those of the docker command line.
 */
import { messageOf } from "../lib/errors.ts";
import { parseFlags } from "../lib/flags.ts";
import type { ParsedLine } from "../lib/flags.ts";
import { HANDLERS } from "./handlers.ts";
import type { CommandModule } from "./handlers.ts";
import { flagSpecs } from "./flag-types.ts";
import { Session } from "./session.ts";
import type { Wiring } from "./session.ts";
import { notImplemented, StatusError } from "./status-error.ts";
import { stderr, stdout } from "./streams.ts";
import { GLOBAL_FLAGS, PLUGINS, SHORTCUTS, TOP_LEVEL } from "./tree/index.ts";
import { parseFlagEntries, usageLine } from "./tree/types.ts";
import type { CommandEntry, CommandTable } from "./tree/types.ts";

const FLAG_ERROR = 125;
const LOG_LEVELS = new Set(["panic", "fatal", "error", "warn", "warning", "info", "debug", "trace", ""]);
/** Their own arguments may look like flags. */
const STOP_AT_ARGUMENT = new Set(["container run", "container create", "container exec", "container top"]);

export interface Program {
  name: string;
  wiring: Wiring;
}

/** Runs one command line. Never throws; answers the exit status. */
export async function main(line: string[], program: Program): Promise<number> {
  try {
    await dispatch(line, program);
    return process.exitCode === undefined ? 0 : Number(process.exitCode);
  } catch (thrown) {
    const message = messageOf(thrown);
    if (message !== "") stderr.line(message);
    if (process.env["GANTRY_STACKS"] && thrown instanceof Error) stderr.line(thrown.stack ?? "");
    return thrown instanceof StatusError ? thrown.status : 1;
  }
}

async function dispatch(line: string[], program: Program): Promise<void> {
  if (line[0] === "__complete") return stdout.write(await (await import("./complete.ts")).complete(line.slice(1)));
  const globals = parseGlobals(line, program);
  const words = globals.args;
  if (globals.flags.bool("version") && !globals.flags.bool("help")) {
    stdout.line(`Gantry version ${program.wiring.version}, build ${program.wiring.commit}`.replace(/^Gantry/, titleCase(program.name)));
    return;
  }
  const level = globals.flags.string("log-level");
  if (!LOG_LEVELS.has(level.toLowerCase())) throw new StatusError(1, `Unable to parse logging level: ${level}`);
  if (globals.flags.changed("context") && globals.flags.changed("host")) throw new StatusError(1, "conflicting options: cannot specify both --host and --context");
  const found = words.length === 0 ? undefined : await findCommand(words, program);
  if (!found || globals.flags.bool("help")) return help([], { program, toStderr: words.length === 0 && !globals.flags.bool("help") });
  if (found.path === "help") return help(found.rest, { program, toStderr: false });
  if (found.entry.group) return runGroup(found, program);
  await runCommand(found, { program, globals });
}

const titleCase = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

function parseGlobals(line: string[], program: Program): ParsedLine {
  try {
    const specs = flagSpecs(parseFlagEntries(GLOBAL_FLAGS), {
      host: (_value, earlier) => {
        if (earlier.length > 0) throw new Error("specify only one -H");
      },
    });
    return parseFlags(specs, line, { interspersed: false });
  } catch (thrown) {
    throw flagError(thrown, { path: program.name, usage: `${program.name} [OPTIONS] COMMAND [ARG...]` });
  }
}

const flagError = (thrown: unknown, command: { path: string; usage: string }): StatusError =>
  new StatusError(FLAG_ERROR, `${messageOf(thrown)}\n\nUsage:  ${command.usage}\n\nRun '${command.path} --help' for more information`);

interface Found {
  /** Canonical path, such as "container ls". */
  path: string;
  /** As messages name it: the word that was typed, aliases resolved. */
  called: string;
  entry: CommandEntry;
  table: CommandTable;
  rest: string[];
}

/** The entry that the words lead to, and the words behind it. */
export async function findCommand(words: string[], program: Program): Promise<Found> {
  const [first = ""] = words;
  const shortcut = Object.hasOwn(SHORTCUTS, first) ? SHORTCUTS[first] : undefined;
  const load = Object.hasOwn(TOP_LEVEL, shortcut?.split(" ")[0] ?? first) ? TOP_LEVEL[shortcut?.split(" ")[0] ?? first] : undefined;
  if (!load && PLUGINS.has(first)) throw notImplemented(`${program.name} ${first}`);
  if (!load) throw new StatusError(1, `${program.name}: unknown command: ${program.name} ${first}\n\nRun '${program.name} --help' for more information`);
  const { COMMANDS: table } = await load();
  if (shortcut !== undefined) return { path: shortcut, called: `${program.name} ${first}`, entry: table[shortcut] as CommandEntry, table, rest: words.slice(1) };
  let found: Found = { path: first, called: `${program.name} ${first}`, entry: table[first] as CommandEntry, table, rest: words.slice(1) };
  while (found.entry.group && found.rest.length > 0) {
    const next = child(found, found.rest[0] as string);
    if (next === undefined) break;
    const name = next.split(" ").at(-1) as string;
    found = { path: next, called: `${found.called} ${name}`, entry: table[next] as CommandEntry, table, rest: found.rest.slice(1) };
  }
  return found;
}

function child(parent: Found, word: string): string | undefined {
  const path = `${parent.path} ${word}`;
  if (Object.hasOwn(parent.table, path)) return path;
  return Object.keys(parent.table).find((name) => name.startsWith(`${parent.path} `) && parent.table[name]?.aliases?.includes(word));
}

async function runGroup(found: Found, program: Program): Promise<void> {
  const { called, entry, rest } = found;
  const usage = usageLine(called, entry, program.name);
  const specs = flagSpecs([...parseFlagEntries(entry.flags ?? ""), ...parseFlagEntries("help")]);
  let parsed: ParsedLine;
  try {
    parsed = parseFlags(specs, rest);
  } catch (thrown) {
    throw flagError(thrown, { path: called, usage });
  }
  const words = called.split(" ").slice(1);
  if (parsed.flags.bool("help")) return help(words, { program, toStderr: false });
  const [unknown] = parsed.args;
  if (found.path === "completion") return help(words, { program, toStderr: false });
  if (unknown === undefined) return help(words, { program, toStderr: true });
  throw new StatusError(1, `${program.name}: unknown command: ${called} ${unknown}\n\nUsage:  ${usage}\n\nRun '${called} --help' for more information`);
}

async function runCommand(found: Found, context: { program: Program; globals: ParsedLine }): Promise<void> {
  const { path, called, entry, rest } = found;
  const { program, globals } = context;
  const usage = usageLine(called, entry, program.name);
  const load = HANDLERS[path];
  const module: CommandModule | undefined = load ? await load() : undefined;
  const entries = parseFlagEntries(entry.flags ?? "");
  let parsed: ParsedLine;
  try {
    parsed = parseFlags(flagSpecs([...entries, ...helpFlag(entries)], module?.checks), rest, { interspersed: !STOP_AT_ARGUMENT.has(path) });
  } catch (thrown) {
    throw flagError(thrown, { path: called, usage });
  }
  for (const warning of parsed.warnings) stdout.line(warning);
  if (parsed.flags.bool("help")) return help(called.split(" ").slice(1), { program, toStderr: false });
  const session = new Session({ program: program.name, called, flags: parsed.flags, args: parsed.args, globals: globals.flags, wiring: program.wiring, onlyAsks: module?.onlyAsks === true });
  try {
    const needs = [...(entry.requires ?? []), ...(found.table[path.split(" ")[0] as string]?.requires ?? [])];
    if (needsDaemon(needs, entries, parsed)) await (await import("./requirements.ts")).checkRequirements(session, needs, entries);
    checkArguments(parsed.args.length, { called, usage, entry, program });
    if (!module) throw notImplemented(called);
    await module.run(session);
  } finally {
    session.close();
  }
}

/** `-h` shows help too, unless the command uses it otherwise. */
function helpFlag(entries: { shorthand: string | undefined }[]): ReturnType<typeof parseFlagEntries> {
  return parseFlagEntries(entries.some(({ shorthand }) => shorthand === "h") ? "help" : "help/h");
}

/** Whether what the daemon knows decides if the command line is allowed; old requirements are met by every daemon we can speak to. */
function needsDaemon(needs: string[], entries: { name: string; since: string | undefined }[], parsed: ParsedLine): boolean {
  const modern = (version: string): boolean => Number(version.split(".")[1]) > 24;
  if (needs.some((need) => need === "experimental" || (need.startsWith("version=") && modern(need.slice(8))))) return true;
  return entries.some(({ name, since }) => since !== undefined && modern(since) && parsed.flags.changed(name));
}

function checkArguments(count: number, command: { called: string; usage: string; entry: CommandEntry; program: Program }): void {
  const { called, usage, entry, program } = command;
  const [least, most] = entry.arguments ?? [0, Infinity];
  if (count >= least && count <= most) return;
  if (entry.plain) throw new StatusError(1, `accepts ${least} arg(s), received ${count}`);
  const plural = (number: number): string => (number === 1 ? "argument" : "arguments");
  let wants: string;
  if (most === 0) wants = "accepts no arguments";
  else if (most === Infinity) wants = `requires at least ${least} ${plural(least)}`;
  else if (least === most) wants = `requires ${least} ${plural(least)}`;
  else if (least === 0) wants = `requires at most ${most} ${plural(most)}`;
  else wants = `requires at least ${least} and at most ${most} ${plural(most)}`;
  const hint = most === Infinity ? "See" : "Run";
  throw new StatusError(1, `${program.name}: '${called}' ${wants}\n\nUsage:  ${usage}\n\n${hint} '${called} --help' for more information`);
}

async function help(words: string[], options: { program: Program; toStderr: boolean }): Promise<void> {
  const { showHelp } = await import("./help/show.ts");
  const text = await showHelp(words, options.program);
  (options.toStderr ? stderr : stdout).write(text);
}
