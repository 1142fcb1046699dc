/** docs/compatibility.md: what becomes of each field, flag and daemon option, from the tables that decode them. */
import { HANDLERS } from "../cli/handlers.ts";
import { TOP_LEVEL } from "../cli/tree/index.ts";
import { CREATE_FIELDS, FLAG_NOTES, type FlagNote, isRefused } from "../cli/tree/support.ts";
import { type CommandEntry, type FlagEntry, parseFlagEntries } from "../cli/tree/types.ts";
import { fieldsPage, supportOf } from "../core/compatibility.ts";
import { configSchema, hostConfigSchema, networkingConfigSchema } from "../core/container-config.ts";
import { DAEMON_OPTIONS } from "./daemon/options.ts";
import { MOBY_EXCEPTIONS, MOBY_PACKAGES } from "./moby-suite.ts";

const CREATE_COMMANDS = ["container create", "container run"];

export async function compatibilityPage(): Promise<string> {
  return `${fieldsPage()}${createFlags(await commandTree())}${otherFlags(await commandTree())}${daemonOptions()}${mobySuite()}`;
}

type Tree = ReadonlyMap<string, CommandEntry>;

async function commandTree(): Promise<Tree> {
  const tables = await Promise.all([...new Set(Object.values(TOP_LEVEL))].map((load) => load()));
  return new Map(tables.flatMap(({ COMMANDS }) => Object.entries(COMMANDS)).sort(([one], [other]) => (one < other ? -1 : 1)));
}

/** By path, those of HostConfig with its name before them. */
export function createFieldSupport(): Map<string, FlagNote> {
  const rows = [...supportOf(configSchema), ...supportOf(hostConfigSchema, "HostConfig."), ...supportOf(networkingConfigSchema)];
  return new Map(rows.map(({ path, status, note }) => [path, { status, note }]));
}

export const flagsOf = (entry: CommandEntry | undefined): FlagEntry[] => parseFlagEntries(entry?.flags ?? "").sort((one, other) => (one.name < other.name ? -1 : 1));

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string => [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`).join("\n");

function createFlags(tree: Tree): string {
  const support = createFieldSupport();
  const all = new Map(CREATE_COMMANDS.flatMap((command) => flagsOf(tree.get(command)).map((flag) => [flag.name, flag] as const)));
  const rows = [...all.keys()].sort().map((name) => {
    const noted = CREATE_COMMANDS.map((command) => FLAG_NOTES[command]?.[name]).find((note) => note !== undefined);
    const field = CREATE_FIELDS[name];
    const { status, note } = noted ?? (field === undefined ? { status: "done", note: "" } : (support.get(field) ?? { status: "done", note: "" }));
    return [`--${name}`, noted ? "" : (field ?? "the client's own"), status, note];
  });
  return `
## Flags of create and run

${table(["flag", "field", "status", ""], rows)}
`;
}

function otherFlags(tree: Tree): string {
  const rows = [...tree].filter(([name, { group, hidden }]) => group !== true && hidden !== true && !CREATE_COMMANDS.includes(name)).map(([name, entry]) => [name, ...commandSupport(name, entry)]);
  return `
## Commands and their flags

Every flag of a command that is done works, but for those that are named.

${table(["command", "status", "flags", ""], rows)}
`;
}

function commandSupport(name: string, entry: CommandEntry): [status: string, flags: string, note: string] {
  const notes = FLAG_NOTES[name] ?? {};
  const flags = flagsOf(entry).map((flag) => `--${flag.name}`).join(" ");
  if (name !== "help" && (HANDLERS[name] === undefined || isRefused(name))) return ["refused", flags, "not there yet"];
  const odd = Object.entries(notes).map(([flag, { status, note }]) => `--${flag}: ${status} (${note})`);
  return [odd.length > 0 ? "partly" : "done", flags, odd.join("; ")];
}

const OPTION_STATUS = { done: "done", implied: "partly", moot: "no meaning", refused: "refused" } as const;

function daemonOptions(): string {
  const rows = DAEMON_OPTIONS.map(({ flag, key, support, help }) => [flag === "" ? "" : `--${flag}`, key, OPTION_STATUS[support], support === "implied" ? `${help}: always` : help]);
  return `
## Options of the daemon

On the command line, and by their keys in daemon.json. Those without a meaning concern parts that gantryd does without, and are told in its log.

${table(["flag", "key", "status", ""], rows)}
`;
}

function mobySuite(): string {
  return `
## moby's own integration tests

Of the tests that pass with dockerd, so many pass with gantryd:

${table(["package", "gantryd", "dockerd"], MOBY_PACKAGES.map(([name, here, original]) => [name, String(here), String(original)]))}

The others, and those that pass under a condition:

${table(["tests", "reason"], MOBY_EXCEPTIONS)}
`;
}
