import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import type { Plugins } from "../../core/plugins.ts";
import { conflict, forbidden, notFound, systemError } from "../../lib/errors.ts";
import { UnreadBody } from "../../lib/connection-body.ts";
import { eventually } from "../../lib/eventually.testing.ts";
import { bodyOf } from "../body.ts";
import { type Call, type Route, sendEmpty, sendJson } from "../route.ts";
import { serve } from "../testing/harness.ts";
import { readJson, readText } from "../wire/body.ts";
import { AuthorizationChain } from "./chain.ts";
import type { Authorization, AuthorizationMessage } from "./exchange.ts";

const routes: Route[] = [
  { method: "GET", path: "/version", handler: (call) => sendJson(call, 200, { v: 1 }) },
  { method: "POST", path: "/echo", handler: async (call) => sendJson(call, 201, { got: await readText(call) }) },
  { method: "POST", path: "/auth", handler: async (call) => sendJson(call, 200, { got: await readText(call) }) },
  { method: "PUT", path: "/containers/{name}/archive", handler: archive },
  { method: "DELETE", path: "/gone", handler: (call) => sendEmpty(call, 204) },
  { method: "POST", path: "/fail", handler: () => { throw conflict("taken"); } },
  { method: "GET", path: "/stream", handler: stream },
  { method: "POST", path: "/taken", handler: takenOver },
];

async function archive(call: Call): Promise<void> {
  const body = bodyOf(call);
  if (body instanceof UnreadBody) return sendJson(call, 200, { unread: body.connection.length });
  let size = 0;
  for await (const chunk of body) size += chunk.length;
  sendJson(call, 200, { size });
}

async function stream({ res }: Call): Promise<void> {
  res.writeHead(200, { "content-type": "application/json" });
  res.write("first");
  await new Promise((resolve) => setTimeout(resolve, 50));
  res.end("last");
}

async function takenOver(call: Call): Promise<void> {
  const client = call.hijack("application/vnd.docker.raw-stream");
  client.end("raw");
  await once(client, "close");
}

interface Asked extends AuthorizationMessage {
  about: string;
}

/** Asks nobody but `decide`, and keeps what it was told. */
function authorization(decide: (asked: Asked) => void = () => {}): { chain: () => Authorization; asked: Asked[] } {
  const asked: Asked[] = [];
  const chain: Authorization = {
    isEmpty: false,
    ask: async (about, message) => {
      asked.push({ about, ...message });
      decide({ about, ...message });
    },
  };
  return { chain: () => chain, asked };
}

const text = (base64: string | undefined): string | undefined => (base64 === undefined ? undefined : Buffer.from(base64, "base64").toString());
const outcome = (answer: string): [number, string] => [Number(answer.split(" ")[1]), answer.slice(answer.indexOf("\r\n\r\n") + 4).trim()];
const json = (path: string, body: string): [string, string] => [`POST ${path} HTTP/1.1\nHost: x\nContent-Type: application/json\nContent-Length: ${body.length}`, body];

test("plugins are told of a request and of its answer, without passwords", async () => {
  const { chain, asked } = authorization();
  await using api = await serve(routes, { authorization: chain });
  const [head, body] = json("/v1.44/echo?x=%2F", '{"a":1}');
  assert.deepEqual(outcome(await api.request(`${head}\nX-Registry-Auth: secret\nauthorization: secret\nx-two: 1\nx-two: 2`, body)), [201, '{"got":"{\\"a\\":1}"}']);
  const request = { RequestMethod: "POST", RequestUri: "/v1.44/echo?x=%2F", RequestBody: Buffer.from(body).toString("base64"), RequestHeaders: { "Content-Type": "application/json", "Content-Length": "7", "X-Two": "2", Connection: "close" } };
  assert.deepEqual(asked[0], { about: "request", ...request });
  const { ResponseHeaders: headers, ResponseBody: answer, ...rest } = asked[1] as Asked;
  assert.deepEqual(rest, { about: "response", ...request, ResponseStatusCode: 201 });
  assert.deepEqual([headers?.["Content-Type"], headers?.["Api-Version"], text(answer)], ["application/json", "1.56", '{"got":"{\\"a\\":1}"}\n']);
  assert.equal(JSON.stringify(asked).includes("secret"), false);
  await api.request(...json("/auth", '{"password":"p"}'));
  assert.deepEqual(asked.slice(2).map(({ RequestBody, ResponseBody, ResponseStatusCode }) => [RequestBody, ResponseBody, ResponseStatusCode]), [[undefined, undefined, undefined], [undefined, undefined, 200]]);
  assert.equal(outcome(await api.request("OPTIONS /v9.9/any HTTP/1.1\nHost: x"))[0], 400);
  assert.equal(asked.length, 6, "also of what is of no version");
});

test("what is not allowed is refused before anything is done, and answers that are not are not seen", async () => {
  let handled = 0;
  const counting: Route = { method: "GET", path: "/count", handler: (call) => sendJson(call, 200, { count: ++handled }) };
  const { chain } = authorization(({ about, RequestUri: uri, RequestHeaders: headers }) => {
    if (about === "request" && headers?.["X-Who"] === "eve") throw forbidden("no");
    if (about === "request" && uri === "/version") throw systemError("plugin p failed with error: x");
    if (about === "response") throw forbidden("hidden");
  });
  await using api = await serve([...routes, counting], { authorization: chain });
  assert.deepEqual(outcome(await api.request("GET /count HTTP/1.1\nHost: x\nX-Who: eve")), [403, '{"message":"no"}']);
  assert.equal(handled, 0);
  assert.deepEqual(outcome(await api.request("GET /version HTTP/1.1\nHost: x")), [500, '{"message":"plugin p failed with error: x"}']);
  assert.deepEqual(outcome(await api.request("GET /count HTTP/1.1\nHost: x")), [403, '{"message":"hidden"}']);
  assert.deepEqual(outcome(await api.request("DELETE /gone HTTP/1.1\nHost: x")), [403, '{"message":"hidden"}']);
  assert.deepEqual(outcome(await api.request("POST /fail HTTP/1.1\nHost: x\nContent-Length: 0")), [409, '{"message":"taken"}'], "why something failed is told");
  const cut = await api.request("GET /stream HTTP/1.1\nHost: x");
  assert.match(cut, /^HTTP\/1\.1 200 OK[\s\S]*first/);
  assert.doesNotMatch(cut, /last/);
});

test("streams pass as they come, and connections can be taken over: plugins hear of their end", async () => {
  const { chain, asked } = authorization();
  await using api = await serve(routes, { authorization: chain });
  assert.match(await api.request("GET /stream HTTP/1.1\nHost: x"), /first[\s\S]*last/);
  assert.deepEqual([asked.length, asked[1]?.ResponseStatusCode, asked[1]?.ResponseBody], [2, undefined, undefined]);
  const client = api.open();
  client.send("POST /taken HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n");
  assert.match(await client.untilEnd(), /^HTTP\/1\.1 101 UPGRADED[\s\S]*raw$/);
  client.socket.destroy();
  await eventually(() => assert.deepEqual(asked.slice(2).map(({ about }) => about), ["request", "response"]));
});

test("bodies: JSON is bounded, archives are not read for plugins", async () => {
  const { chain, asked } = authorization();
  await using api = await serve(routes, { authorization: chain });
  const most = 4 * 1024 * 1024;
  assert.equal(outcome(await api.request(...json("/echo", "1".repeat(most))))[0], 201);
  assert.equal(asked[0]?.RequestBody?.length, Math.ceil(most / 3) * 4);
  assert.deepEqual(outcome(await api.request(...json("/echo", "1".repeat(most + 1)))), [500, '{"message":"request body too large for authorization plugin: size exceeds 4194304 bytes"}']);
  const size = 1 << 20;
  for (const [type, answer, length] of [["application/x-tar", { unread: size }, undefined], ["application/json; charset=utf-8", { size }, Math.ceil(size / 3) * 4]] as const) {
    const [, body] = outcome(await api.request(`PUT /containers/x/archive HTTP/1.1\nHost: x\nContent-Type: ${type}\nContent-Length: ${size}`, Buffer.alloc(size)));
    assert.deepEqual([JSON.parse(body), asked.at(-1)?.RequestBody?.length], [answer, length], type);
  }
});

/** Tries CVE-2024-41110 and its like: bodies that plugins are not shown and handlers read. */
test("whatever a request says of its body, plugins have been shown what its handler reads", async () => {
  const { chain, asked } = authorization();
  const reading: Route = { method: "POST", path: "/document", handler: async (call) => sendJson(call, 200, { read: (await readJson(call)) !== undefined }) };
  await using api = await serve([...routes, reading], { authorization: chain });
  const secret = '{"secret":1}';
  const chunked = `${secret.length.toString(16)}\r\n${secret}\r\n0\r\n\r\n`;
  const cases: [head: string, body: string][] = [
    [`Content-Type: application/json\nContent-Length: ${secret.length}`, secret],
    ["Content-Type: application/json\nTransfer-Encoding: chunked", chunked],
    ["Content-Type: Application/JSON ;charset=utf-8\nTransfer-Encoding: chunked", chunked],
    ["Content-Type: application/json\nContent-Length: 0", secret],
    ["Content-Type: application/json\nContent-Length: 0\nTransfer-Encoding: chunked", chunked],
    [`Content-Length: ${secret.length}`, secret],
    ["Content-Type: text/plain\nTransfer-Encoding: chunked", chunked],
  ];
  const outcomes: string[] = [];
  for (const [head, body] of cases) {
    asked.length = 0;
    const answer = await api.request(`POST /document HTTP/1.1\nHost: x\n${head}`, body);
    const isRead = answer.includes('{"read":true}');
    const isShown = text(asked[0]?.RequestBody) === secret;
    if (isRead) assert.ok(isShown, head);
    outcomes.push(isRead ? "read" : "not read");
  }
  assert.deepEqual(outcomes, ["read", "read", "read", "not read", "not read", "not read", "not read"]);
});

test("a chain asks its plugins in order until one says no", async () => {
  const asked: string[] = [];
  const answers: Record<string, () => object> = { one: () => ({ Allow: true }), two: () => ({ Msg: "not you" }), broken: () => { throw systemError("AuthZPlugin.AuthZReq: out of order"); }, vague: () => ({ Allow: "yes" }) };
  const plugins: Plugins = {
    find: async (name) => {
      const answer = answers[name];
      if (!answer) throw notFound(`plugin "${name}" not found`);
      return { name, call: async (method) => (asked.push(`${name} ${method}`), answer() as Record<string, unknown>) };
    },
    active: () => [],
  };
  const chain = new AuthorizationChain(plugins);
  assert.equal(chain.isEmpty, true);
  const refusal = async (...names: string[]): Promise<string> => {
    chain.use(names);
    return chain.ask("request", {}).then(() => "allowed", ({ code, message }) => `${code}: ${message}`);
  };
  assert.equal(await refusal("one"), "allowed");
  assert.equal(await refusal("one", "two", "broken"), "forbidden: authorization denied by plugin two: not you");
  assert.equal(await refusal("broken", "one"), "system: plugin broken failed with error: AuthZPlugin.AuthZReq: out of order");
  assert.equal(await refusal("vague"), "forbidden: authorization denied by plugin vague: ");
  assert.equal(await refusal("absent"), 'system: plugin absent failed with error: plugin "absent" not found');
  assert.deepEqual(asked, ["one", "one", "two", "broken", "vague"].map((name) => `${name} AuthZPlugin.AuthZReq`));
  await assert.rejects(chain.check(["one", "absent"]), /plugin "absent" not found/);
});
