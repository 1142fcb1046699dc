import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { silentLogger } from "../core/logger.ts";
import { conflict, GantryError, notModified } from "../lib/errors.ts";
import { Connections } from "./connections.ts";
import { type Call, type Route, sendEmpty, sendJson } from "./route.ts";
import { ApiServer } from "./server.ts";
import { serve } from "./testing/harness.ts";
import { RawClient } from "./testing/raw-client.ts";

const routes: Route[] = [
  { method: "GET", path: "/version", handler: (call) => sendJson(call, 200, { v: call.version, q: call.query.get("q") }) },
  { method: "POST", path: "/empty", handler: (call) => sendEmpty(call, 204) },
  { method: "GET", path: "/new", since: [1, 40], handler: (call) => sendEmpty(call, 204) },
  { method: "HEAD", path: "/head", handler: (call) => sendEmpty(call, 200) },
  { method: "GET", path: "/name/{name}/json", handler: (call) => sendJson(call, 200, call.params) },
  { method: "GET", path: "/late", handler: late },
  {
    method: "GET",
    path: "/fail/{kind}",
    handler: ({ params }) => {
      if (params["kind"] === "conflict") throw conflict('name "x" is taken');
      if (params["kind"] === "not-modified") throw notModified("as it was");
      if (params["kind"] === "forbidden") throw new GantryError("forbidden", "no");
      throw new Error("boom");
    },
  },
];

function late({ res }: Call): void {
  res.writeHead(200, { "content-type": "text/plain" });
  res.write("first");
  throw new Error("boom");
}

const get = (path: string): string => `GET ${path} HTTP/1.1\nHost: x`;
const status = (answer: string): number => Number(answer.split(" ")[1]);
const bodyOf = (answer: string): string => answer.slice(answer.indexOf("\r\n\r\n") + 4);

test("answers with Docker's headers, with and without a version", async () => {
  await using api = await serve(routes);
  const answer = await api.request(get("/v1.44/version?q=a+b%2F"));
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
  for (const header of ["Api-Version: 1.56", "Docker-Experimental: false", "Ostype: linux", "Server: Docker/1.2.3 (linux)"]) assert.ok(answer.includes(`\r\n${header}\r\n`), header);
  assert.deepEqual(JSON.parse(bodyOf(answer)), { v: [1, 44], q: "a b/" });
  assert.deepEqual(JSON.parse(bodyOf(await api.request(get("/version")))).v, [1, 56]);
  assert.equal(status(await api.request("POST /empty HTTP/1.1\nHost: x\nContent-Length: 0")), 204);
  assert.equal(status(await api.request("HEAD /head HTTP/1.1\nHost: x")), 200);
});

test("versions out of the range are refused in Docker's words, in plain text for those who cannot read JSON", async () => {
  await using api = await serve(routes, { minimumVersion: () => "1.40" });
  const refusal = async (path: string): Promise<[number, string]> => {
    const answer = await api.request(get(path));
    return [status(answer), bodyOf(answer)];
  };
  const old = "Minimum supported API version is 1.40, please upgrade your client to a newer version";
  assert.deepEqual(await refusal("/v1.12/version"), [400, `client version 1.12 is too old. ${old}\n`]);
  assert.deepEqual(await refusal("/v1./version"), [400, `client version 1. is too old. ${old}\n`]);
  assert.deepEqual(await refusal("/v1.39/version"), [400, `{"message":"client version 1.39 is too old. ${old}"}\n`]);
  assert.deepEqual(await refusal("/v1.57/version"), [400, '{"message":"client version 1.57 is too new. Maximum supported API version is 1.56"}\n']);
  for (const path of ["/vabc/version", "/v-1.44/version", "/v1.x/version", "/v9.99/nosuch", "/v1.44", "/", "/version/", "/nosuch"]) assert.deepEqual(await refusal(path), [404, '{"message":"page not found"}\n'], path);
  for (const path of ["/v1.44.1/version", "/v01.44/version"]) assert.equal((await refusal(path))[0], 200, path);
});

test("a route that is younger than the client's version is refused by name", async () => {
  await using api = await serve(routes);
  assert.match(await api.request(get("/v1.39/new")), /^HTTP\/1\.1 400 [^]*GET \/new requires minimum API version 1\.40/);
});

test("errors have the status of their code", async () => {
  await using api = await serve(routes);
  assert.match(await api.request(get("/fail/conflict")), /^HTTP\/1\.1 409 [^]*\r\ncontent-type: application\/json\r\n[^]*\{"message":"name \\"x\\" is taken"\}\n$/);
  assert.match(await api.request(get("/fail/other")), /^HTTP\/1\.1 500 [^]*\{"message":"boom"\}\n$/);
  assert.match(await api.request(get("/fail/forbidden")), /^HTTP\/1\.1 403 /);
  const unchanged = await api.request(get("/fail/not-modified"));
  assert.match(unchanged, /^HTTP\/1\.1 304 /);
  assert.ok(!/content-type/i.test(unchanged) && bodyOf(unchanged) === "");
});

test("a failure after the answer began cuts the connection", async () => {
  await using api = await serve(routes);
  const answer = await api.request(get("/late"));
  assert.ok(!answer.endsWith("0\r\n\r\n"), "the answer must not look complete");
});

test("methods, redirects and malformed paths are answered as Docker answers them", async () => {
  await using api = await serve(routes);
  assert.equal(status(await api.request("PUT /version HTTP/1.1\nHost: x\nContent-Length: 0")), 404);
  assert.equal(status(await api.request("PATCH /version HTTP/1.1\nHost: x\nContent-Length: 0")), 404);
  const options = await api.request("OPTIONS /anything HTTP/1.1\nHost: x");
  assert.match(options, /^HTTP\/1\.1 200 /);
  assert.equal(bodyOf(options), "");
  assert.match(await api.request(get("/v1.44//version?q=1")), /^HTTP\/1\.1 301 [^]*location: \/v1\.44\/version\?q=1\r\n/i);
  const malformed = await api.request(get("/name/%zz/json"));
  assert.match(malformed, /^HTTP\/1\.1 400 [^]*text\/plain; charset=utf-8/i);
  assert.equal(bodyOf(malformed), "400 Bad Request");
  assert.match(await api.request(get("/version?q=%zz")), /^HTTP\/1\.1 400 [^]*invalid URL escape/);
  assert.match(await api.request(get("http://elsewhere/name/a%2Fb/json")), /^HTTP\/1\.1 200 [^]*\{"name":"a\/b"\}/);
});

test("what is no HTTP gets an answer and an end", async () => {
  await using api = await serve(routes);
  for (const bytes of ["\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "GET / HTTP/9.9\r\n\r\n", "POST /empty HTTP/1.1\r\nContent-Length: x\r\n\r\n", "POST /empty HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "POST /empty HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"]) {
    const client = api.open().send(Buffer.from(bytes, "latin1"));
    const text = await client.untilEnd();
    assert.match(text, /^HTTP\/1\.1 (400|204) /, JSON.stringify(bytes));
    client.socket.destroy();
  }
  const huge = api.open().send(`GET /version HTTP/1.1\r\nX: ${"a".repeat(200_000)}\r\n\r\n`);
  assert.match(await huge.untilEnd(), /^HTTP\/1\.1 431 /);
});

test("a refusal waits for the body of a client that closes behind it", async () => {
  await using api = await serve([{ method: "POST", path: "/refused", handler: () => { throw conflict("no"); } }]);
  const client = api.open().send("POST /refused HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(client.text, "");
  client.send("2\r\n{}\r\n0\r\n\r\n");
  assert.match(await client.untilEnd(), /^HTTP\/1\.1 409 [^]*"no"/);
});

test("pipelined requests are answered in order", async () => {
  await using api = await serve(routes);
  const client = api.open().send("GET /version?q=1 HTTP/1.1\r\nHost: x\r\n\r\nGET /version?q=2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  assert.match(await client.untilEnd(), /"q":"1"[^]*"q":"2"/);
});

test("the signal tells that the client went away", async () => {
  const [asked, seen] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  await using api = await serve([
    {
      method: "GET",
      path: "/wait",
      handler: (call) =>
        new Promise((resolve) => {
          call.signal.addEventListener("abort", () => {
            seen.resolve();
            resolve();
          });
          asked.resolve();
        }),
    },
  ]);
  const client = api.open().send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
  await asked.promise;
  client.socket.destroy();
  await seen.promise;
});

test("closing ends streams at once and waits for answers", async () => {
  const served: string[] = [];
  const folder = await mkdtemp(join(tmpdir(), "gantry-close-"));
  const path = join(folder, "s.sock");
  const asked = Promise.withResolvers<void>();
  const slow = async ({ res }: Call): Promise<void> => {
    asked.resolve();
    await new Promise((resolve) => setTimeout(resolve, 200));
    served.push("slow");
    res.end("done");
  };
  const server = new ApiServer({
    routes: [
      { method: "GET", path: "/slow", handler: slow },
      { method: "GET", path: "/stream", handler: ({ res }) => void res.write("begun") },
      { method: "POST", path: "/taken", handler: (call) => void call.hijack("x/y").write("begun") },
    ],
    connections: new Connections({ waiting: 10, total: 20 }),
    log: silentLogger,
    serverVersion: "1",
    experimental: false,
    minimumVersion: () => "1.24",
  });
  await server.listen({ listen: { path } });
  const clients = ["GET /slow", "GET /stream", "POST /taken"].map((line) => new RawClient({ path }).send(`${line} HTTP/1.1\r\nHost: x\r\n\r\n`));
  await Promise.all([asked.promise, ...clients.slice(1).map((client) => client.until("begun"))]);
  const begin = performance.now();
  await server.close(300_000);
  assert.ok(performance.now() - begin < 200_000);
  assert.match(await (clients[0] as RawClient).untilEnd(), /done$/);
  await rm(folder, { recursive: true });
});

test("until the later routes are there, requests for them wait; others are answered", async () => {
  const later = Promise.withResolvers<Route[]>();
  await using api = await serve([{ method: "GET", path: "/early", handler: (call) => sendEmpty(call, 204) }], { laterRoutes: later.promise });
  let answered = false;
  const waiting = [api.request(get("/v1.44/version")), api.request(get("/nosuch"))];
  void waiting[0]!.then(() => (answered = true));
  assert.equal(status(await api.request(get("/v1.44/early"))), 204);
  assert.equal(answered, false);
  later.resolve(routes);
  assert.deepEqual((await Promise.all(waiting)).map(status), [200, 404]);
  assert.equal(status(await api.request(get("/early"))), 204);
});

test("when the later routes do not come, those who wait for them are told why", async () => {
  const later = Promise.withResolvers<Route[]>();
  await using api = await serve([], { laterRoutes: later.promise });
  const waiting = api.request(get("/version"));
  later.reject(new GantryError("system", "the disk is gone"));
  assert.deepEqual([status(await waiting), JSON.parse(bodyOf(await waiting)).message], [500, "the disk is gone"]);
});
