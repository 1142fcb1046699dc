/** Managed plugins: there are none yet, so each that is named is not found. */
import { type GantryError, invalidParameter, messageOf, notFound, notImplemented, systemError } from "../../lib/errors.ts";
import { parseFilters } from "../../lib/filters.ts";
import { familiarName, parseReference, withDefaultTag, type Reference } from "../../lib/reference.ts";
import { list, string } from "../../lib/schema.ts";
import { atoi } from "../../lib/strconv.ts";
import { bodyOf } from "../body.ts";
import { sendJson, type Call, type Route } from "../route.ts";
import { readBody, readJson } from "../wire/body.ts";

/** How much of an uploaded plugin is looked through for its configuration. */
const MAX_SCAN_BYTES = 16 * 1024 * 1024;
const BLOCK = 512;

export function pluginRoutes(): Route[] {
  const named = (method: Route["method"], path: string, check: (call: Call) => unknown = () => {}): Route => ({
    method,
    path,
    handler: async (call) => {
      await check(call);
      throw noSuchPlugin(call.params["name"] as string);
    },
  });
  return [
    { method: "GET", path: "/plugins", handler: listPlugins },
    { method: "GET", path: "/plugins/privileges", handler: (call) => refuseRemote(call, "GetPluginPrivileges (GET /plugins/privileges)") },
    { method: "POST", path: "/plugins/pull", handler: pull },
    { method: "POST", path: "/plugins/create", handler: create },
    named("GET", "/plugins/{name...}/json"),
    named("POST", "/plugins/{name...}/enable", (call) => timeoutOf(call)),
    named("POST", "/plugins/{name...}/disable"),
    named("POST", "/plugins/{name...}/push"),
    named("POST", "/plugins/{name...}/set", (call) => readBody(call, settingsSchema)),
    { method: "POST", path: "/plugins/{name...}/upgrade", since: [1, 26], handler: upgrade },
    named("DELETE", "/plugins/{name...}"),
  ];
}

const settingsSchema = list(string);
const noSuchPlugin = (name: string): GantryError => notFound(`plugin "${name}" not found`);

function listPlugins(call: Call): void {
  const filters = parseFilters(call.query.get("filters"));
  filters.validate(["enabled", "capability"]);
  filters.boolean("enabled");
  sendJson(call, 200, []);
}

function timeoutOf(call: Call): void {
  try {
    atoi(call.query.get("timeout") ?? "");
  } catch (cause) {
    throw invalidParameter(messageOf(cause), cause);
  }
}

async function pull(call: Call): Promise<void> {
  await readJson(call);
  refuseRemote(call, "PluginPull (POST /plugins/pull)");
}

function refuseRemote(call: Call, operation: string): never {
  parseReference(call.query.get("remote") ?? "");
  throw notImplemented(`${operation} is not supported yet`);
}

async function upgrade(call: Call): Promise<void> {
  await readJson(call);
  parseReference(call.query.get("remote") ?? "");
  throw noSuchPlugin(familiarName(withDefaultTag(namedBy(call.params["name"] as string))));
}

/** Docker's status for names that cannot be. */
function namedBy(name: string, before = ""): Reference {
  try {
    return parseReference(name);
  } catch (cause) {
    throw systemError(`${before}${messageOf(cause)}`, cause);
  }
}

async function create(call: Call): Promise<void> {
  const name = call.query.get("name") ?? "";
  if (namedBy(name, `failed to parse reference ${name}: `).digest !== undefined) throw systemError("canonical references are not permitted");
  if (!(await hasConfiguration(call))) throw systemError("config not found");
  throw notImplemented("PluginCreate (POST /plugins/create) is not supported yet");
}

/** True when the tar archive in the body has a config.json at its top. */
async function hasConfiguration(call: Call): Promise<boolean> {
  let held: Buffer = Buffer.alloc(0);
  let skip = 0;
  let seen = 0;
  for await (const chunk of bodyOf(call)) {
    seen += chunk.length;
    if (seen > MAX_SCAN_BYTES) return false;
    held = Buffer.concat([held, chunk]);
    for (;;) {
      const skipped = Math.min(skip, held.length);
      held = held.subarray(skipped);
      skip -= skipped;
      if (skip > 0 || held.length < BLOCK) break;
      const header = held.subarray(0, BLOCK);
      if (/^(\.\/)?config\.json\0/.test(header.toString("latin1", 0, 100))) return true;
      const size = Number.parseInt(header.toString("latin1", 124, 136), 8) || 0;
      skip = BLOCK + Math.ceil(size / BLOCK) * BLOCK;
    }
  }
  return false;
}
