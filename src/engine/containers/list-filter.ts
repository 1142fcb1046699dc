/** Which containers a list has: Docker's filters. */
import type { ContainerRecord } from "../../core/container.ts";
import { invalidParameter, messageOf, notFound, systemError } from "../../lib/errors.ts";
import type { Filters } from "../../lib/filters.ts";
import { atoi } from "../../lib/strconv.ts";
import type { ContainersContext } from "./context.ts";
import { portSummaries } from "./view/ports.ts";
import { networksOf } from "./view/networks.ts";
import { countsAsRunning, timesOf } from "./view/state.ts";

const ACCEPTED = ["ancestor", "before", "exited", "id", "isolation", "label", "name", "status", "health", "since", "volume", "network", "is-task", "publish", "expose"];
const STATES = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];
const HEALTHS = ["none", "starting", "healthy", "unhealthy"];

export interface ListFilter {
  /** Also of those that do not run. */
  all: boolean;
  keeps(record: ContainerRecord): boolean;
  /** Only containers older than this one. */
  before: ContainerRecord | undefined;
  /** Only containers younger than this one. */
  since: ContainerRecord | undefined;
}

type Test = (record: ContainerRecord) => boolean;

/** Throws Docker's refusals of unknown keys and values. */
export function listFilter(context: ContainersContext, filters: Filters): ListFilter {
  filters.validate(ACCEPTED);
  const exited = filters.values("exited").map(exitCode);
  for (const value of filters.values("status")) oneOf("status", "state", value, STATES);
  const isTask = filters.boolean("is-task");
  for (const value of filters.values("health")) oneOf("health", "health", value, HEALTHS);
  const before = filters.values("before").map((ref) => byIdOrName(context, ref)).at(-1);
  const since = filters.values("since").map((ref) => byIdOrName(context, ref)).at(-1);
  const tests: Test[] = [...identity(context, filters), ...ancestors(context, filters), ...portTests(filters)];
  if (isTask === true) tests.push(() => false);
  if (filters.values("label").length > 0) tests.push((record) => filters.labels("label", record.config.Labels ?? {}));
  if (exited.length > 0) tests.push((record) => !countsAsRunning(record) && timesOf(record).startedAt !== 0n && exited.includes(timesOf(record).exitCode));
  if (filters.has("status")) tests.push((record) => filters.matches("status", record.state.status));
  if (filters.has("health")) tests.push((record) => filters.exact("health", record.health?.status ?? "none"));
  if (filters.has("volume")) tests.push((record) => record.mounts.some((mount) => filters.values("volume").some((value) => value === mount.destination || value === (mount.name || mount.source))));
  if (filters.has("network")) tests.push(inNetwork(context, filters.values("network")));
  return { all: filters.values("status").length > 0, keeps: (record) => tests.every((test) => test(record)), before, since };
}

function exitCode(value: string): number {
  try {
    return atoi(value);
  } catch (error) {
    throw invalidParameter(`invalid filter 'exited=${value}': ${messageOf(error)}`);
  }
}

function oneOf(key: string, what: string, value: string, allowed: readonly string[]): void {
  if (!allowed.includes(value)) throw invalidParameter(`invalid filter '${key}=${value}': invalid value for ${what} (${value}): must be one of ${allowed.join(", ")}`);
}

/** Docker takes no id prefix here. */
function byIdOrName(context: ContainersContext, ref: string): ContainerRecord {
  const found = context.store.get(ref) ?? context.store.byName(ref.replace(/^\//, ""));
  if (!found) throw notFound(`No such container: ${ref}`);
  return found;
}

/** By id prefix and name. With both, both must hold. */
function identity(context: ContainersContext, filters: Filters): Test[] {
  const tests: Test[] = [];
  const prefixes = filters.values("id");
  if (prefixes.length > 0) {
    const ids = new Set(prefixes.flatMap((prefix) => context.store.idsByPrefix(prefix)));
    tests.push((record) => ids.has(record.id));
  }
  if (filters.values("name").length > 0) tests.push((record) => filters.matches("name", `/${record.name}`) || filters.matches("name", record.name));
  return tests;
}

function ancestors(context: ContainersContext, filters: Filters): Test[] {
  if (!filters.has("ancestor")) return [];
  const ids = new Set(filters.values("ancestor").map((ref) => context.images.idOf(ref)));
  return [(record) => ids.has(record.imageId)];
}

function inNetwork(context: ContainersContext, wanted: readonly string[]): Test {
  return (record) => Object.entries(networksOf(record, (name) => context.findNetwork(name)?.id)).some(([name, { NetworkID }]) => wanted.some((value) => value === name || (NetworkID !== "" && NetworkID.startsWith(value))));
}

function portTests(filters: Filters): Test[] {
  const published = filters.values("publish").map((value) => portRange("publish", value));
  const exposed = filters.values("expose").map((value) => portRange("expose", value));
  if (published.length + exposed.length === 0) return [];
  const isIn = (ranges: readonly PortRange[], protocol: string, port = 0): boolean => ranges.some((range) => range.protocol === protocol && range.first <= port && port <= range.last);
  return [(record) => portSummaries(record).some(({ Type, PrivatePort, PublicPort }) => isIn(published, Type, PublicPort) || isIn(exposed, Type, PrivatePort))];
}

interface PortRange {
  first: number;
  last: number;
  protocol: string;
}

/** "80", "80/udp", "8000-8010/tcp". Docker answers 500 to malformed ones. */
function portRange(key: string, value: string): PortRange {
  if (value.includes(":")) throw systemError(`filter for '${key}' should not contain ':': ${value}`);
  const fail = (reason: string): never => {
    throw systemError(`error while looking up for ${key} ${value}: ${reason}`);
  };
  if (value === "") fail("invalid port range: value is empty");
  const [range = "", protocol] = value.split("/", 2);
  const [start = "", end] = range.split("-", 2);
  const number = (text: string, which: string): number => {
    const problem = text === "" ? "value is empty" : !/^\d+$/.test(text) ? "invalid syntax" : Number(text) > 65535 ? "value out of range" : undefined;
    return problem === undefined ? Number(text) : fail(`invalid ${which} port '${text}': ${problem}`);
  };
  const first = number(start, "start");
  const last = end === undefined || end === start ? first : number(end, "end");
  if (last < first) fail(`invalid port range: ${value}`);
  return { first, last, protocol: (protocol || "tcp").toLowerCase() };
}
