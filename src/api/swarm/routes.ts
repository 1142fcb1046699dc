/** Swarm, services, tasks, nodes, secrets and configs on an engine that is not part of a swarm. */
import { networkInterfaces } from "node:os";
import { GantryError, invalidParameter, messageOf, notImplemented, systemError, unavailable } from "../../lib/errors.ts";
import { parseFilters } from "../../lib/filters.ts";
import { parseIp, parsePrefix } from "../../lib/ip.ts";
import { embed, field, list, map, string, struct, text, type Schema } from "../../lib/schema.ts";
import { parseBool, parseUnsigned, quote } from "../../lib/strconv.ts";
import type { Call, Route } from "../route.ts";
import { readBody } from "../wire/body.ts";

const NO_MANAGER = 'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';

type Check = (call: Call) => void | Promise<unknown>;
const row = (method: Route["method"], path: string, check: Check = () => {}, since?: number): Route => ({
  method,
  path,
  ...(since === undefined ? {} : { since: [1, since] as const }),
  handler: async (call) => {
    await check(call);
    throw unavailable(NO_MANAGER);
  },
});

/** Refuses those that Docker does not know. */
const checkFilters = (call: Call, known: readonly string[]): void => parseFilters(call.query.get("filters")).validate(known);
function oneOf(call: Call, key: string, known: readonly string[]): void {
  const wrong = parseFilters(call.query.get("filters")).values(key).find((value) => !known.includes(value.toLowerCase()));
  if (wrong !== undefined) throw systemError(`Invalid ${key} filter: '${wrong}'`);
}

const switches =
  (...names: string[]) =>
  (call: Call): void => {
    for (const name of names) switchOf(call, name);
  };

export function swarmRoutes(): Route[] {
  return [
    row("GET", "/swarm"),
    row("GET", "/swarm/unlockkey"),
    { method: "POST", path: "/swarm/init", handler: init },
    { method: "POST", path: "/swarm/join", handler: join },
    { method: "POST", path: "/swarm/leave", handler: leave },
    row("POST", "/swarm/update", async (call) => {
      await version("swarm", "Spec")(call);
      switches("rotateWorkerToken", "rotateManagerToken", "rotateManagerUnlockKey")(call);
    }),
    row("POST", "/swarm/unlock", (call) => readBody(call, unlockSchema)),
    row("GET", "/nodes", (call) => {
      checkFilters(call, ["name", "id", "label", "role", "membership", "node.label"]);
      oneOf(call, "role", ["worker", "manager"]);
      oneOf(call, "membership", ["pending", "accepted"]);
    }),
    row("GET", "/nodes/{id}"),
    row("DELETE", "/nodes/{id}"),
    row("POST", "/nodes/{id}/update", version("node", "NodeSpec")),
    row("GET", "/services", (call) => {
      switches("status")(call);
      checkFilters(call, ["name", "id", "label", "mode", "runtime"]);
    }),
    row("POST", "/services/create", (call) => readBody(call, serviceSchema)),
    row("GET", "/services/{id}", switches("insertDefaults")),
    row("DELETE", "/services/{id}"),
    row("POST", "/services/{id}/update", version("service", "serviceWithLegacy", "ServiceSpec.Annotations")),
    row("GET", "/services/{id}/logs", logs),
    row("GET", "/tasks", (call) => void parseFilters(call.query.get("filters"))),
    row("GET", "/tasks/{id}"),
    row("GET", "/tasks/{id}/logs", logs),
    ...stored("secret", 25),
    ...stored("config", 30),
  ];
}

const stored = (kind: "secret" | "config", since: number): Route[] => [
  row("GET", `/${kind}s`, (call) => checkFilters(call, ["names", "name", "id", "label"]), since),
  row("POST", `/${kind}s/create`, (call) => readBody(call, specSchemas[kind]), since),
  row("GET", `/${kind}s/{id}`, undefined, since),
  row("DELETE", `/${kind}s/{id}`, undefined, since),
  row("POST", `/${kind}s/{id}/update`, async (call) => {
    await readBody(call, specSchemas[kind]);
    if (!isUnsigned(call.query.get("version") ?? "")) throw invalidParameter(`invalid ${kind} version`);
  }, since),
];

/** What can be wrong with what every object of a swarm has; the rest is for those that have a swarm. */
const annotated = (go: string, embedded = "Annotations"): Schema => struct(go, embed(embedded, { Name: field(string), Labels: field(map(string)) }));
const serviceSchema = annotated("swarm.serviceWithLegacy", "ServiceSpec.Annotations");
const unlockSchema = struct("swarm.UnlockRequest", { UnlockKey: field(string) });
const specSchemas = { secret: annotated("swarm.SecretSpec"), config: annotated("swarm.ConfigSpec") } as const;

function isUnsigned(text: string): boolean {
  try {
    parseUnsigned(text);
    return true;
  } catch {
    return false;
  }
}

function version(kind: string, go: string, embedded?: string): Check {
  const schema = annotated(`swarm.${go}`, embedded);
  return async (call) => {
    await readBody(call, schema);
    const given = call.query.get("version") ?? "";
    try {
      parseUnsigned(given);
    } catch (cause) {
      throw invalidParameter(`invalid ${kind} version '${given}': ${messageOf(cause)}`, cause);
    }
  };
}

function switchOf(call: Call, name: string): void {
  const value = call.query.get(name) ?? "";
  if (value === "") return;
  try {
    parseBool(value);
  } catch (cause) {
    throw invalidParameter(`invalid value for ${name}: ${value}${name.startsWith("rotate") ? "" : `: ${messageOf(cause)}`}`, cause);
  }
}

function logs(call: Call): void {
  const wants = (stream: string): boolean => !["", "0", "no", "false", "none"].includes((call.query.get(stream) ?? "").toLowerCase());
  if (!wants("stdout") && !wants("stderr")) throw invalidParameter("must specify at least one of 'stdout' or 'stderr'");
}

function leave(): never {
  throw unavailable("This node is not part of a swarm");
}

const initSchema = struct("swarm.InitRequest", { ListenAddr: field(string), AdvertiseAddr: field(string), DefaultAddrPool: field(list(text("netip.Prefix", checkedPrefix))) });
const joinSchema = struct("swarm.JoinRequest", { ListenAddr: field(string), RemoteAddrs: field(list(string)), JoinToken: field(string) });

async function init(call: Call): Promise<void> {
  const { ListenAddr } = await readBody(call, initSchema);
  const host = listenHost(ListenAddr);
  if (parseIp(host) === undefined && networkInterfaces()[host] === undefined) {
    throw invalidParameter("listen address must be an IP address or network interface (with optional port number)");
  }
  throw notImplemented("SwarmInit (POST /swarm/init) is not supported yet");
}

async function join(call: Call): Promise<void> {
  const { ListenAddr, RemoteAddrs } = await readBody(call, joinSchema);
  listenHost(ListenAddr);
  if (RemoteAddrs === null || RemoteAddrs.length === 0) throw invalidParameter("at least 1 RemoteAddr is required to join");
  for (const address of RemoteAddrs) {
    try {
      hostOf(address);
    } catch (cause) {
      throw invalidParameter(`invalid remoteAddr ${quote(address)}: ${messageOf(cause)}`, cause);
    }
  }
  // Docker's status for a swarm that cannot be joined.
  throw new GantryError("system", `cannot join the swarm at ${RemoteAddrs.join(", ")}: SwarmJoin is not supported yet`);
}

function listenHost(address: string): string {
  try {
    return hostOf(address);
  } catch (cause) {
    throw invalidParameter(`invalid ListenAddr ${quote(address)}: ${messageOf(cause)}`, cause);
  }
}

/** The host of "HOST", "HOST:PORT" or "[IPv6]:PORT", with or without "tcp://". */
function hostOf(address: string): string {
  if (address === "") throw new Error("invalid empty address");
  const match = /^(?:tcp:\/\/)?(?:\[([^\]]+)\]|([^:]*))(?::([^:]*))?$/.exec(address);
  if (match === null) throw new Error(`invalid bind address (${address}): too many colons in address`);
  return match[1] ?? match[2] ?? "";
}

/** netip.ParsePrefix, with its messages. */
function checkedPrefix(input: string): string {
  if (!input.includes("/")) throw new Error(`netip.ParsePrefix(${quote(input)}): no '/'`);
  if (parsePrefix(input) === undefined) throw new Error(`netip.ParsePrefix(${quote(input)}): bad bits after slash or address`);
  return input;
}
