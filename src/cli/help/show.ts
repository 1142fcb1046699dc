/** Help in the layout of the docker command line. */
import { StatusError } from "../status-error.ts";
import { stdout } from "../streams.ts";
import { GLOBAL_FLAGS, SHORTCUTS, TOP_LEVEL } from "../tree/index.ts";
import { parseFlagEntries, usageLine } from "../tree/types.ts";
import type { CommandEntry, CommandTable, FlagEntry } from "../tree/types.ts";
import { commandText } from "./descriptions.ts";
import { flagText } from "./flags.ts";

const COMMON = ["run", "exec", "ps", "build", "bake", "pull", "push", "images", "login", "logout", "search", "version", "info"];
const SWARM = new Set(["config", "node", "secret", "service", "stack", "swarm"]);
const ALONE = new Set(["bake", "check", "help", "inspect", "login", "logout", "search", "version"]);
const DEFAULT_WIDTH = 80;

interface Found {
  path: string;
  called: string;
  entry: CommandEntry;
  table: CommandTable;
}

/** Help about the program (no words) or a command. Throws StatusError when there is none. */
export async function showHelp(words: string[], program: { name: string }): Promise<string> {
  if (words.length === 0) return rootHelp(program.name);
  const found = await find(words, program.name);
  if (!found) throw new StatusError(1, `unknown help topic: ${words.join(" ")}`);
  return found.entry.group ? groupHelp(found) : commandHelp(found, program.name);
}

async function find(words: string[], program: string): Promise<Found | undefined> {
  const [first = "", ...rest] = words;
  const path = Object.hasOwn(SHORTCUTS, first) ? (SHORTCUTS[first] as string) : first;
  const load = Object.hasOwn(TOP_LEVEL, path.split(" ")[0] as string) ? TOP_LEVEL[path.split(" ")[0] as string] : undefined;
  if (!load) return undefined;
  const { COMMANDS: table } = await load();
  let found = path;
  for (const word of rest) {
    const next = Object.keys(table).find((name) => name === `${found} ${word}` || (name.startsWith(`${found} `) && table[name]?.aliases?.includes(word)));
    if (next === undefined) return undefined;
    found = next;
  }
  const entry = table[found];
  if (!entry) return undefined;
  const called = rest.length === 0 ? `${program} ${first}` : `${program} ${found}`;
  return { path: found, called, entry, table };
}

function list(title: string, items: [string, string][], padding: number): string {
  if (items.length === 0) return "";
  return `\n${title}:\n${items.map(([name, text]) => `  ${name.padEnd(padding)} ${text}`).join("\n")}\n`;
}

function rootHelp(program: string): string {
  const groups = Object.keys(TOP_LEVEL).filter((name) => !ALONE.has(name) && name !== "completion").sort();
  const shortcuts = Object.keys(SHORTCUTS).filter((name) => !COMMON.includes(name));
  const commands = [...shortcuts, "check", "completion", "inspect"].sort();
  const padding = 11;
  const item = (name: string): [string, string] => [name, commandText(SHORTCUTS[name] ?? name)];
  return [
    `Usage:  ${program} [OPTIONS] COMMAND\n\nContainers for Linux\n`,
    list("Common Commands", COMMON.map(item), padding),
    list("Management Commands", groups.filter((name) => !SWARM.has(name)).map(item), padding),
    list("Swarm Commands", groups.filter((name) => SWARM.has(name)).map(item), padding),
    list("Commands", commands.map(item), padding),
    `\nGlobal Options:\n${flagUsages("", parseFlagEntries(GLOBAL_FLAGS).filter(({ name }) => name !== "help"))}\n`,
    `\nRun '${program} COMMAND --help' for more information on a command.\n`,
  ].join("");
}

function groupHelp(found: Found): string {
  const { path, called, entry, table } = found;
  const options = entry.flags ? " [OPTIONS]" : "";
  const children = Object.keys(table).filter((name) => name.startsWith(`${path} `) && !table[name]?.hidden).sort();
  const names = children.map((name): [string, string] => [name.slice(path.length + 1), commandText(name)]);
  const padding = Math.max(11, ...names.map(([name]) => name.length));
  return [
    `Usage:  ${called}${options} COMMAND\n\n${commandText(path)}\n`,
    entry.flags ? `\nOptions:\n${flagUsages(path, parseFlagEntries(entry.flags))}\n` : "",
    list("Commands", names, padding),
    `\nRun '${called} COMMAND --help' for more information on a command.\n`,
  ].join("");
}

function commandHelp(found: Found, program: string): string {
  const { path, called, entry } = found;
  const aliases = aliasesOf(path, entry, program);
  const flags = parseFlagEntries(entry.flags ?? "").filter((flag) => !flag.hidden);
  return [
    `Usage:  ${usageLine(called, entry, program)}\n\n${commandText(path)}\n`,
    aliases.length > 1 ? `\nAliases:\n  ${aliases.join(", ")}\n` : "",
    flags.length > 0 ? `\nOptions:\n${flagUsages(path, flags)}\n` : "",
  ].join("");
}

function aliasesOf(path: string, entry: CommandEntry, program: string): string[] {
  const parent = path.split(" ").slice(0, -1).join(" ");
  const shortcuts = Object.keys(SHORTCUTS).filter((name) => SHORTCUTS[name] === path);
  const others = (entry.aliases ?? []).filter((alias) => !shortcuts.includes(alias));
  return [path, ...others.map((alias) => `${parent} ${alias}`), ...shortcuts].map((name) => `${program} ${name}`);
}

const SHOWN_TYPES: Record<string, string> = { bool: "", int64: "int", uint64: "uint", stringSlice: "strings", ipNetSlice: "ipNetSlice" };

/** The flags in two columns, sorted, the texts wrapped to the terminal. */
function flagUsages(path: string, flags: FlagEntry[]): string {
  const shown = flags.filter((flag) => !flag.hidden).sort((one, two) => (one.name < two.name ? -1 : 1));
  const rows = shown.map((flag) => {
    const type = SHOWN_TYPES[flag.type] ?? flag.type;
    const left = `  ${flag.shorthand === undefined ? "   " : `-${flag.shorthand},`} --${flag.name}${type === "" ? "" : ` ${type}`}`;
    return { left, right: flagText(path, flag) + defaultText(flag) };
  });
  const column = Math.max(...rows.map(({ left }) => left.length)) + 3;
  const width = (stdout.isTerminal ? stdout.size.width : DEFAULT_WIDTH) - 1;
  return rows.map(({ left, right }) => left.padEnd(column) + wrap(right, column, width)).join("\n");
}

function defaultText(flag: FlagEntry): string {
  const { fallback, type } = flag;
  if (fallback === undefined) return "";
  return type === "string" ? ` (default ${JSON.stringify(fallback)})` : ` (default ${fallback})`;
}

const LEAST_TEXT_WIDTH = 24;

function wrap(text: string, indent: number, width: number): string {
  const room = width - indent;
  const lines = text.split("\n").flatMap((line) => (room < LEAST_TEXT_WIDTH ? [line] : wrapLine(line, room)));
  return lines.join(`\n${" ".repeat(indent)}`);
}

function wrapLine(line: string, room: number): string[] {
  const lines: string[] = [];
  let rest = line;
  while (rest.length > room) {
    const space = rest.lastIndexOf(" ", room);
    if (space <= 0) break;
    lines.push(rest.slice(0, space));
    rest = rest.slice(space + 1);
  }
  return [...lines, rest];
}
