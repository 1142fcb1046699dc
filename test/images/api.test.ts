/** The routes of images over HTTP: progress streams, errors before and in them, and clients that leave in the middle. */
import assert from "node:assert/strict";
import { Agent, type IncomingMessage, request } from "node:http";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { Connections, limitsFor } from "../../src/api/connections.ts";
import { imageRoutes } from "../../src/api/images/routes.ts";
import { ApiServer } from "../../src/api/server.ts";
import { digestOf } from "../../src/lib/digest.ts";
import { eventually } from "../../src/lib/eventually.testing.ts";
import { parseFilters } from "../../src/lib/filters.ts";
import { tarOf } from "../../src/sys/tar.fixture.ts";
import { type ImageBench, layoutOf, openBench } from "./bench.ts";

interface Answer {
  status: number;
  type: string;
  text: string;
}

interface Site extends AsyncDisposable {
  bench: ImageBench;
  call: (method: string, path: string, body?: Buffer) => Promise<Answer>;
  socket: string;
  agent: Agent;
}

async function site(containersGeneration?: () => number): Promise<Site> {
  const bench = openBench(containersGeneration ? { containersGeneration } : {});
  const quiet = (): void => undefined;
  const log = { error: quiet, warn: quiet, info: quiet, debug: quiet } as unknown as ConstructorParameters<typeof ApiServer>[0]["log"];
  const server = new ApiServer({ routes: imageRoutes(bench.images), connections: new Connections(limitsFor(1024)), log, serverVersion: "test", experimental: false, minimumVersion: () => "1.24" });
  const socket = join(bench.dir, "api.sock");
  await server.listen({ listen: { path: socket } });
  const agent = new Agent({ keepAlive: true });
  const call = async (method: string, path: string, body?: Buffer): Promise<Answer> => {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request({ socketPath: socket, agent, method, path }, resolve).once("error", reject).end(body);
    });
    return { status: response.statusCode ?? 0, type: response.headers["content-type"] ?? "", text: (await buffer(response)).toString() };
  };
  return {
    bench,
    call,
    socket,
    agent,
    [Symbol.asyncDispose]: async () => {
      agent.destroy();
      await server.close(0);
      await bench[Symbol.asyncDispose]();
    },
  };
}

const layer = tarOf({ name: "f", data: "x" });
const image = layoutOf("docker.io/library/x:1", [{ bytes: layer }]);

test("a load answers with messages that end in CR LF, and with errors among them", async () => {
  await using s = await site();
  assert.deepEqual(await s.call("POST", "/images/load", image), { status: 200, type: "application/json", text: '{"stream":"Loaded image: x:1\\n"}\r\n' });
  const refused = await s.call("POST", "/images/load", Buffer.alloc(2000, "x"));
  assert.equal(refused.status, 200);
  assert.deepEqual(JSON.parse(refused.text), { errorDetail: { message: "invalid archive: invalid tar header" }, error: "invalid archive: invalid tar header" });
  assert.equal((await s.call("POST", "/images/load?platform=x", image)).status, 400);
});

test("an import's errors have statuses of their own, and the connection goes on also with an unread body", async () => {
  await using s = await site();
  const large = Buffer.alloc(3 << 20, "x");
  const cases: [path: string, status: number, message: RegExp][] = [
    ["/images/create?fromSrc=-&repo=BAD", 400, /must be lowercase/],
    ["/images/create?fromSrc=-&changes=RUN%20x", 400, /^RUN is not a valid change command$/],
    ["/images/create?fromSrc=-&platform=a/b/c/d", 400, /cannot parse platform specifier/],
    ["/images/create?fromSrc=-", 500, /invalid tar header/],
    ["/images/create?fromImage=scratch", 403, /^'scratch' is a reserved name$/],
    ["/images/create?fromImage=busybox", 501, /cannot pull busybox: this engine was opened without registries/],
  ];
  for (const [path, status, message] of cases) {
    const answer = await s.call("POST", path, large);
    assert.equal(answer.status, status, path);
    assert.match((JSON.parse(answer.text) as { message: string }).message, message);
  }
  const { status, text } = await s.call("POST", "/images/create?fromSrc=-&repo=good", layer);
  assert.deepEqual([status, /^\{"status":"sha256:[0-9a-f]{64}"\}\r\n$/.test(text)], [200, true]);
});

test("a client that leaves in the middle of an upload leaves nothing behind", async () => {
  await using s = await site();
  for (const path of ["/images/load", "/images/create?fromSrc=-&repo=half"]) {
    for (let round = 0; round < 5; round++) {
      await new Promise<void>((resolve) => {
        const half = request({ socketPath: s.socket, method: "POST", path, headers: { "content-length": image.length } });
        half.once("error", () => resolve());
        half.write(image.subarray(0, 1500), () => setTimeout(() => half.destroy(), 20));
      });
    }
  }
  const left = (): unknown[] => [readdirSync(join(s.bench.dir, "content/ingest")), s.bench.content.list(), s.bench.snapshotter.list()];
  await eventually(() => assert.deepEqual(left(), [[], [], []]));
  assert.equal((await s.call("POST", "/images/load", image)).status, 200);
});

test("older clients get the fields that they know", async () => {
  await using s = await site();
  await s.call("POST", "/images/load", image);
  const get = async (path: string): Promise<Record<string, unknown>> => {
    const json = JSON.parse((await s.call("GET", path)).text) as Record<string, unknown> | Record<string, unknown>[];
    return Array.isArray(json) ? (json[0] ?? {}) : json;
  };
  const inspected = { new: await get("/v1.52/images/x:1/json"), middle: await get("/v1.47/images/x:1/json"), old: await get("/v1.43/images/x:1/json") };
  assert.deepEqual(["Parent", "GraphDriver", "Descriptor", "VirtualSize"].map((key) => [key in inspected.new, key in inspected.middle, key in inspected.old]), [[false, true, true], [false, true, true], [true, false, false], [false, false, true]]);
  const listed = { new: await get("/v1.51/images/json"), old: await get("/v1.42/images/json") };
  assert.deepEqual([listed.new["Containers"], listed.old["Containers"], "Descriptor" in listed.old, "VirtualSize" in listed.old], [0, -1, false, true]);
});

test("a push says what is missing, after Docker's own checks", async () => {
  await using s = await site();
  await s.call("POST", "/images/load", image);
  const messages = async (path: string): Promise<string[]> => (await s.call("POST", path)).text.trim().split("\r\n").map((line) => String((JSON.parse(line) as Record<string, unknown>)["error"] ?? (JSON.parse(line) as Record<string, unknown>)["status"]));
  assert.deepEqual(await messages("/images/127.0.0.1:5/none/push"), ["The push refers to repository [127.0.0.1:5/none]", "An image does not exist locally with the tag: 127.0.0.1:5/none"]);
  assert.match((await messages("/images/x/push?tag=1"))[1] ?? "", /opened without registries/);
});

test("a list that is asked for again is the same until something that it shows has changed", async () => {
  let generation = 0;
  await using s = await site(() => generation);
  const { images, users, content } = s.bench;
  const list = async (query = ""): Promise<{ RepoTags: string[]; Containers: number; Size: number; VirtualSize?: number; Manifests?: unknown }[]> => JSON.parse((await s.call("GET", `/v1.51/images/json?${query}`)).text);
  const tags = async (): Promise<string[]> => (await list()).flatMap(({ RepoTags }) => RepoTags).sort();
  assert.deepEqual(await list(), []);
  await s.call("POST", "/images/load", image);
  assert.deepEqual(await tags(), ["x:1"]);
  const options = { filters: parseFilters(""), sharedSize: false, manifests: false };
  assert.equal(await images.list(options), await images.list(options), "the same object");
  await s.call("POST", "/images/x:1/tag?repo=y&tag=2");
  assert.deepEqual(await tags(), ["x:1", "y:2"]);
  const [first] = await list();
  users.set(images.idOf("x:1")!, [{ containerId: "c", running: false, imageRef: "x:1" }]);
  generation++;
  assert.deepEqual([first?.Containers, (await list())[0]?.Containers], [0, 1]);
  users.clear();
  generation++;
  content.delete(digestOf(layer));
  assert.ok((await list())[0]!.Size < first!.Size);
  assert.deepEqual([(await list())[0]?.Manifests, Array.isArray((await list("manifests=1"))[0]?.Manifests)], [undefined, true]);
  const [older] = JSON.parse((await s.call("GET", "/v1.43/images/json")).text) as { VirtualSize?: number }[];
  assert.deepEqual([older?.VirtualSize !== undefined, (await list())[0]?.VirtualSize], [true, undefined], "each version has its own");
  await s.call("DELETE", "/images/y:2");
  assert.deepEqual(await tags(), ["x:1"]);
});
