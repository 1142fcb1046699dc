/** Answers the shells: what the last word of a command line may become, one suggestion a line with a tab before its description. */
import { ApiClient } from "./api/client.ts";
import { normaliseHost, openEndpoint } from "./api/endpoint.ts";
import { commandText } from "./help/descriptions.ts";
import { flagText } from "./help/flags.ts";
import { DEFAULT_HOST } from "./session.ts";
import { SHORTCUTS, TOP_LEVEL } from "./tree/index.ts";
import { parseFlagEntries } from "./tree/types.ts";
import type { CommandEntry } from "./tree/types.ts";

interface Suggestion {
  text: string;
  about: string;
}

interface Place {
  path: string;
  entry: CommandEntry | undefined;
  children: string[];
}

export async function complete(words: string[]): Promise<string> {
  const last = words.at(-1) ?? "";
  const place = await placeOf(words.slice(0, -1).filter((word) => !word.startsWith("-")));
  const all = await suggestions(place, { last, before: words.slice(0, -1) });
  return all.filter(({ text }) => text.startsWith(last)).map(({ text, about }) => `${text}\t${about}\n`).join("");
}

async function placeOf(words: string[]): Promise<Place> {
  const [first = ""] = words;
  if (words.length === 0) return { path: "", entry: undefined, children: [] };
  const path = Object.hasOwn(SHORTCUTS, first) ? (SHORTCUTS[first] as string) : first;
  const load = TOP_LEVEL[path.split(" ")[0] as string];
  if (!load) return { path: "?", entry: undefined, children: [] };
  const { COMMANDS } = await load();
  const childOf = (parent: string): string[] => Object.keys(COMMANDS).filter((name) => name.startsWith(`${parent} `) && name.split(" ").length === parent.split(" ").length + 1 && !COMMANDS[name]?.hidden);
  let found = path;
  for (const word of words.slice(1)) if (COMMANDS[`${found} ${word}`]) found = `${found} ${word}`;
  return { path: found, entry: COMMANDS[found], children: childOf(found) };
}

async function suggestions(place: Place, words: { last: string; before: string[] }): Promise<Suggestion[]> {
  if (place.path === "?") return [];
  if (words.last.startsWith("-")) {
    return parseFlagEntries(place.entry?.flags ?? "").filter((flag) => !flag.hidden).map((flag) => ({ text: `--${flag.name}`, about: flagText(place.path, flag).split("\n")[0] ?? "" }));
  }
  if (place.path === "") {
    const names = [...Object.keys(TOP_LEVEL), ...Object.keys(SHORTCUTS)].sort();
    return names.map((name) => ({ text: name, about: commandText(SHORTCUTS[name] ?? name) }));
  }
  if (place.entry?.group) return place.children.map((path) => ({ text: path.split(" ").at(-1) as string, about: commandText(path) }));
  return names(kindOfFlag[words.before.at(-1) ?? ""] ?? kindOf(place));
}

type Kind = "containers" | "images" | "networks" | "volumes" | "runtimes";

/** Flags whose value is a name of what the daemon has. */
const kindOfFlag: Partial<Record<string, Kind>> = { "--runtime": "runtimes", "--network": "networks" };

function kindOf({ entry }: Place): Kind | undefined {
  const usage = entry?.usage ?? "";
  return /\bCONTAINER\b/.test(usage) ? "containers" : /\bIMAGE\b|REPOSITORY/.test(usage) ? "images" : /\bNETWORK\b/.test(usage) ? "networks" : /\bVOLUME\b/.test(usage) ? "volumes" : undefined;
}

/** Names of what the daemon has, where the command takes them. A daemon that is not there suggests nothing. */
async function names(kind: Kind | undefined): Promise<Suggestion[]> {
  if (kind === undefined) return [];
  const host = process.env["DOCKER_HOST"];
  const client = new ApiClient({ endpoint: openEndpoint(host ? normaliseHost(host, false) : DEFAULT_HOST, undefined), userAgent: "Gantry-Completion" });
  try {
    return (await listNames(client, kind)).map((text) => ({ text, about: kind.slice(0, -1) }));
  } catch {
    return [];
  } finally {
    client.close();
  }
}

async function listNames(client: ApiClient, kind: Kind): Promise<string[]> {
  switch (kind) {
    case "containers":
      return (await client.json<{ Names: string[] }[]>("GET", "/containers/json", { query: { all: true } })).flatMap(({ Names }) => Names.map((name) => name.slice(1)));
    case "images":
      return (await client.json<{ RepoTags: string[] | null }[]>("GET", "/images/json")).flatMap(({ RepoTags }) => RepoTags ?? []);
    case "networks":
      return (await client.json<{ Name: string }[]>("GET", "/networks")).map(({ Name }) => Name);
    case "runtimes":
      return Object.keys((await client.json<{ Runtimes: object }>("GET", "/info")).Runtimes);
    case "volumes":
      return ((await client.json<{ Volumes: { Name: string }[] | null }>("GET", "/volumes")).Volumes ?? []).map(({ Name }) => Name);
  }
}
