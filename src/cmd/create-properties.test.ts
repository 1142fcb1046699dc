/**
 * Every field of a creation's body, one by one, with values of other types and with values that nobody means: a wrong one is
 * refused with a text that names it, and nothing is left; one that is taken can be shown, planned (or refused at the start)
 * and removed. GANTRY_SEED and GANTRY_TRIES choose other values, and more.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { containerRoutes } from "../api/containers/routes.ts";
import { createRequestSchema } from "../core/container-config.ts";
import { serve, type Harness } from "../api/testing/harness.ts";
import { refuseAtStart } from "../engine/containers/unsupported.ts";
import { buildSpec } from "../engine/containers/spec/build.ts";
import { type FakeContext, fakeContext } from "../engine/containers/testing/context.ts";
import { GantryError } from "../lib/errors.ts";
import { fc } from "../lib/fast-check.testing.ts";
import { parseFilters } from "../lib/filters.ts";
import type { Schema } from "../lib/schema.ts";
import { compile } from "../oci/compile/compile.ts";
import { fullHost } from "../oci/host.fixture.ts";
import { encodePlan } from "../oci/plan/encode.ts";
import { seccompProfiles } from "../oci/seccomp/profiles.ts";

const seed = Number(process.env["GANTRY_SEED"] ?? 1);
const tries = Number(process.env["GANTRY_TRIES"] ?? 5);

let context: FakeContext;
let server: Harness;
let layers: Set<string>;
const http = process.getBuiltinModule("node:http");
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

before(async () => {
  context = fakeContext();
  layers = new Set();
  context.layers.create = async (id) => void layers.add(id);
  context.layers.remove = async (id) => void layers.delete(id);
  server = await serve(containerRoutes(context));
});
after(async () => {
  agent.destroy();
  await server[Symbol.asyncDispose]();
});

interface Answer {
  status: number;
  message: string;
  id: string;
}

function send(method: string, path: string, body = ""): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request({ socketPath: (server.address as { path: string }).path, agent, method, path, headers: { "content-type": "application/json", "content-length": Buffer.byteLength(body) } }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (text += chunk));
      response.on("end", () => {
        const parsed = text.startsWith("{") ? (JSON.parse(text) as { message?: string; Id?: string }) : {};
        resolve({ status: response.statusCode ?? 0, message: parsed.message ?? "", id: parsed.Id ?? "" });
      });
    });
    request.on("error", reject);
    request.end(body);
  });
}

/** A place in the body: how to put a value there, and the names that lead to it. */
interface Place {
  names: string[];
  schema: Schema;
  body: (value: unknown) => Record<string, unknown>;
}

/** All of a struct's fields, and what they have inside. */
function places(schema: Schema, names: string[], body: Place["body"]): Place[] {
  const own = { names, schema, body };
  switch (schema.kind) {
    case "struct":
      return [own, ...Object.entries(schema.fields).flatMap(([name, field]) => places(field.schema, [...names, name], (value) => body({ ...neighbours(names, name), [name]: value })))];
    case "list":
    case "tuple":
      return [own, ...places(schema.item, names, (value) => body([value]))];
    case "map":
      return [own, ...places(schema.value, names, (value) => body({ [keyOf(names)]: value }))];
    case "nullable":
      return places(schema.target, names, body);
    default:
      return [own];
  }
}

/** A key that the map's owner takes. */
const keyOf = (names: readonly string[]): string => (["ExposedPorts", "PortBindings"].includes(names.at(-1) ?? "") ? "80/tcp" : names.at(-1) === "Volumes" || names.at(-1) === "Tmpfs" ? "/data" : names.at(-1) === "EndpointsConfig" ? "bridge" : "key");

/** What a field needs beside it to be looked at. */
function neighbours(names: readonly string[], name: string): Record<string, unknown> {
  const owner = names.at(-1);
  if (owner === "Mounts") return { Target: "/here", ...(name === "VolumeOptions" ? { Type: "volume" } : name === "TmpfsOptions" ? { Type: "tmpfs" } : name === "ImageOptions" ? { Type: "image", Source: "image" } : name === "ClusterOptions" ? { Type: "cluster" } : { Type: "bind", Source: "/etc" }) };
  if (owner === "Ulimits") return { Name: "nofile" };
  if (owner === "Devices") return { PathOnHost: "/dev/null", PathInContainer: "/dev/null", CgroupPermissions: "r" };
  if (owner === "DeviceRequests") return { Driver: "cdi" };
  if (owner?.startsWith("Blkio") === true) return { Path: "/dev/null" };
  return {};
}

const all: Place[] = places(createRequestSchema, [], (value) => ({ Image: "image", ...(value as object) })).filter(({ names }) => names.length > 0);

const kindsOfJson = { string: "text", number: 7, fraction: 1.5, bool: true, list: [], object: {} };
const takes: Record<Schema["kind"], (keyof typeof kindsOfJson)[]> = {
  string: ["string"],
  text: ["string"],
  bool: ["bool"],
  int: ["number"],
  list: ["list"],
  tuple: ["list"],
  map: ["object"],
  struct: ["object"],
  nullable: [],
};

async function refused(place: Place, value: unknown): Promise<Answer> {
  const body = JSON.stringify(place.body(value));
  const answer = await send("POST", "/containers/create", body);
  assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status} ${answer.message}: ${body.slice(0, 500)}`);
  assertNothingLeft(body);
  return answer;
}

function assertNothingLeft(body: string): void {
  assert.deepEqual([[...context.store.list()].length, layers.size, context.emitted.length], [0, 0, 0], `left behind by ${body.slice(0, 500)}`);
}

test("a value of another type is refused with the field's name", async () => {
  for (const place of all) {
    for (const [kind, value] of Object.entries(kindsOfJson)) {
      if (takes[place.schema.kind].includes(kind as keyof typeof kindsOfJson)) continue;
      const { status, message } = await refused(place, value);
      assert.equal(status, 400);
      assert.ok(message.includes(place.names.at(-1)!), `${place.names.join(".")}: ${message}`);
    }
  }
});

test("a number beyond its type is refused with the field's name", async () => {
  for (const place of all) {
    if (place.schema.kind !== "int") continue;
    for (const value of [place.schema.max + 1n, place.schema.min - 1n, 10n ** 40n]) {
      const body = JSON.stringify(place.body("@")).replace('"@"', String(value));
      const { status, message } = await send("POST", "/containers/create", body);
      assert.deepEqual([status, message.includes(place.names.at(-1)!)], [400, true], `${body}: ${message}`);
      assertNothingLeft(body);
    }
  }
});

const words = ["", " ", "/", "//", "..", "../..", "/proc/self", "host", "none", "private", "default", "bridge", "container:", "container:nosuch", "a:b", "a:b:c:d", ":", "::", "=", "a=", "=b", "-1", "0", "1e9", "0x0", "4294967296", "4294967295:4294967295", "65536/tcp", "80/udp", "1-0", "__proto__", "constructor", "\0", "a\0b", "a\nb", "\u{1f600}", "\u202e", "\ud800", "%s%n", "$(id)", "x".repeat(300), "é".repeat(5000), "nofile", "/dev/null", "/etc", "size=1g", "no-new-privileges", "seccomp=unconfined", "seccomp={}", "CAP_ALL", "ALL", "NET_ADMIN", "127.0.0.1", "::1", "256.1.1.1", "02:42:00:00:00:01", "net.ipv4.ip_forward", "runc", "json-file", "local", "on-failure", "SIGKILL", "99", "rw", "c 1:3 r", "a *:* rwm", "0-3", "3-0", "0,,1"];
const texts = fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...words) }, fc.string({ unit: "binary", maxLength: 40 }), fc.tuple(fc.constantFrom(...words), fc.constantFrom(":", "=", "/", ","), fc.constantFrom(...words)).map((parts) => parts.join("")));
const edges = [0n, 1n, -1n, 2n, 3n, 1000n, 100_000n, 4n << 20n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 64n - 1n, -(2n ** 31n), -(2n ** 63n)];

/** JSON text of a value of the type, with content that nobody means. */
function wild(schema: Schema): fc.Arbitrary<string> {
  const json = texts.map((text) => JSON.stringify(text));
  const listOf = (item: fc.Arbitrary<string>): fc.Arbitrary<string> => fc.array(item, { maxLength: 3 }).map((items) => `[${items.join(",")}]`);
  switch (schema.kind) {
    case "string":
    case "text":
      return json;
    case "bool":
      return fc.constantFrom("true", "false", "null");
    case "int": {
      const { min, max } = schema;
      return fc.oneof(fc.constantFrom(...edges.filter((edge) => edge >= min && edge <= max)), fc.bigInt({ min, max })).map(String);
    }
    case "list":
      return fc.oneof(listOf(wild(schema.item)), fc.constant("null"));
    case "tuple":
      return listOf(wild(schema.item));
    case "map":
      return fc.array(fc.tuple(schema.parseKey ? fc.oneof(json, fc.constant('"80/tcp"')) : json, wild(schema.value)), { maxLength: 3 }).map((entries) => `{${entries.map((entry) => entry.join(":")).join(",")}}`);
    case "nullable":
      return fc.oneof({ weight: 4, arbitrary: wild(schema.target) }, { weight: 1, arbitrary: fc.constant("null") });
    case "struct": {
      const fields = Object.entries(schema.fields);
      if (fields.length === 0) return fc.constant("{}");
      return fc.uniqueArray(fc.constantFrom(...fields), { maxLength: 4, selector: ([name]) => name }).chain((some) => fc.tuple(...some.map(([, field]) => wild(field.schema))).map((values) => `{${some.map(([name], at) => `${JSON.stringify(name)}:${values[at]}`).join(",")}}`));
    }
  }
}

/** What is taken can be shown, is a plan or is refused at the start, and can be removed. */
async function live(id: string, body: string): Promise<void> {
  const shown = await send("GET", `/containers/${id}/json`);
  assert.equal(shown.status, 200, `inspect of ${body}: ${shown.message}`);
  const record = structuredClone(context.store.find(id));
  try {
    refuseAtStart(record, context.kernel);
    const host = { ...context.host, seccomp: seccompProfiles(fullHost) };
    const spec = buildSpec({ record, sandbox: {}, host, settings: context.settings, pidOf: () => 7 });
    encodePlan(compile(JSON.parse(JSON.stringify(spec)), { id, host: fullHost, rootfs: [{ type: "bind", source: "/r", readonly: false }] }));
  } catch (error) {
    assert.ok(error instanceof GantryError, `the start of ${body}: ${String((error as Error).stack)}`);
  }
  const removed = await send("DELETE", `/containers/${id}?v=1&force=1`);
  assert.equal(removed.status, 204, `${removed.message}: ${body}`);
  for (const { Name } of await volumes()) await context.volumes.remove(Name);
  context.emitted.length = 0;
}

const volumes = async (): Promise<{ Name: string }[]> => (await context.volumes.list(parseFilters(null))).volumes;

/** Words for fields that Docker's messages have. */
const synonyms: Record<string, string[]> = { Image: ["command"], Entrypoint: ["command"], Links: ["container"], Binds: ["volume"], VolumesFrom: ["mode"], Tmpfs: ["destination"], Volumes: ["destination"], Target: ["destination"] };

/** The field, or the value that is wrong, or what both are about. */
function isNamed(message: string, { names }: Place, json: string): boolean {
  const low = message.toLowerCase();
  const partsOf = (name: string): string[] => name.match(/[A-Z]?[a-z]{2,}|[A-Z]{2,}/g) ?? [];
  const words = names.flatMap((name) => [name, ...partsOf(name), ...(synonyms[name] ?? [])]);
  const said = [...json.matchAll(/"((?:[^"\\]|\\.)+)"|-?\d+/g)].map(([whole, inner]) => (inner === undefined ? whole : (JSON.parse(`"${inner}"`) as string).toWellFormed()));
  const values = said.flatMap((value) => [value, JSON.stringify(value).slice(1, -1), ...value.split(":"), ...partsOf(value), ...value.split(/[:=,/ ]/).filter((part) => part.length > 1)]);
  return [...words.map((word) => word.toLowerCase().replace(/(?:ies|s)$/, "")), "'key'", ...values.map((value) => value.toLowerCase())].some((part) => part !== "" && low.includes(part));
}

/** Where Docker itself says that it is the server's fault: clients know these. */
const dockersOwn = /^(?:invalid volume specification: |invalid mode: |invalid --security-opt [12]: |empty string specified for links|bad format for links: )/;

test("values that nobody means are refused by name, or taken and then a plan or a refusal at the start", { timeout: 600_000 }, async () => {
  const unnamed = new Map<string, string>();
  for (const place of all) {
    const property = fc.asyncProperty(wild(place.schema), async (json) => {
      const body = JSON.stringify(place.body("@@")).replace('"@@"', () => json);
      const { status, message, id } = await send("POST", "/containers/create", body);
      if (status === 201) {
        await live(id, body.slice(0, 2000));
        return;
      }
      assert.ok([400, 404, 409, 501].includes(status) || (status === 500 && dockersOwn.test(message)), `${status} ${message}: ${body.slice(0, 2000)}`);
      assert.doesNotMatch(message, /undefined|NaN|TypeError|RangeError|is not a function|Cannot |\[object|^$/, body.slice(0, 2000));
      assertNothingLeft(body);
      assert.deepEqual(await volumes(), [], body.slice(0, 2000));
      if (!isNamed(message, place, json)) unnamed.set(place.names.join("."), `${message}: ${json.slice(0, 200)}`);
    });
    await fc.assert(property, { seed, numRuns: tries });
  }
  assert.deepEqual([...unnamed], []);
});
