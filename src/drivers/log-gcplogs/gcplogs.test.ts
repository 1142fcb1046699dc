import assert from "node:assert/strict";
import { createVerify, generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { LogDriver, LogSink } from "../../core/log-driver.ts";
import { logDriverContract, origin, record, type LogServer } from "../../core/log-driver.contract.ts";
import { type HttpReply, httpServer, temporaryFolder } from "../../core/log-server.testing.ts";
import { createGcplogsDriver } from "./index.ts";

const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });

interface Entry {
  logName: string;
  resource: { type: string; labels: Record<string, string> };
  timestamp: string;
  insertId?: string;
  textPayload?: string;
  jsonPayload: { message: string; container: Record<string, unknown>; instance?: Record<string, string> };
}

interface Logging extends LogServer {
  driver: LogDriver;
  base: string;
  requests: { entries: Entry[]; partialSuccess: boolean }[];
  /** How often a token was asked for, and those that are good. */
  asked: number;
  tokens: Set<string>;
  refuse: HttpReply | undefined;
}

const METADATA: Record<string, string> = {
  "/computeMetadata/v1/project/project-id": "meta-project",
  "/computeMetadata/v1/instance/zone": "projects/7/zones/eu-west1-b",
  "/computeMetadata/v1/instance/name": "machine",
  "/computeMetadata/v1/instance/id": "77",
};

/** Checks an assertion as Google does, with the account's public key. */
function isAccount(body: string, audience: string): boolean {
  const form = new URLSearchParams(body);
  if (form.get("grant_type") === "refresh_token") return form.get("refresh_token") === "refresh" && form.get("client_id") === "client" && form.get("client_secret") === "secret";
  const [head = "", claims = "", signature = ""] = (form.get("assertion") ?? "").split(".");
  const { iss, scope, aud, exp, iat } = JSON.parse(Buffer.from(claims, "base64url").toString()) as Record<string, unknown>;
  const right = iss === "robot@project" && scope === "https://www.googleapis.com/auth/logging.write" && aud === audience && Number(exp) - Number(iat) === 3600;
  return right && createVerify("RSA-SHA256").update(`${head}.${claims}`).verify(publicKey, signature, "base64url");
}

async function logging(t: TestContext, { key, env = {}, options = { "gcp-project": "project" } }: { key?: object; env?: Record<string, string>; options?: Record<string, string> } = {}): Promise<Logging> {
  const made = { options, received: [], requests: [], asked: 0, tokens: new Set(), refuse: undefined } as unknown as Logging;
  const token = (): HttpReply => {
    made.tokens.add(`t${++made.asked}`);
    return { status: 200, text: JSON.stringify({ access_token: `t${made.asked}`, expires_in: 3600, token_type: "Bearer" }) };
  };
  const server = await httpServer(({ url = "", headers }, body) => {
    if (url === "/token") return isAccount(body.toString(), `${made.base}/token`) ? token() : { status: 400, text: '{"error":"invalid_grant"}' };
    if (url.startsWith("/computeMetadata/")) {
      if (headers["metadata-flavor"] !== "Google") return { status: 403, text: "" };
      return url.endsWith("/token") ? token() : { status: METADATA[url] === undefined ? 404 : 200, text: METADATA[url] ?? "" };
    }
    if (url !== "/v2/entries:write") return { status: 404, text: "" };
    if (!made.tokens.has(headers.authorization?.replace("Bearer ", "") ?? "")) return { status: 401, text: '{"error":{"code":401,"message":"who are you","status":"UNAUTHENTICATED"}}' };
    const request = JSON.parse(body.toString()) as Logging["requests"][number];
    made.requests.push(request);
    if (made.refuse) return made.refuse;
    // The service does not know of streams of output.
    for (const { jsonPayload, timestamp } of request.entries) if (jsonPayload) made.received.push({ text: jsonPayload.message, stderr: timestamp.startsWith("1970-") });
    return { status: 200, text: "{}" };
  });
  made.base = `http://127.0.0.1:${server.port}`;
  const file = join(temporaryFolder(t), "key.json");
  const account = { type: "service_account", client_email: "robot@project", private_key_id: "k", private_key: privateKey.export({ type: "pkcs8", format: "pem" }), token_uri: `${made.base}/token` };
  writeFileSync(file, JSON.stringify({ token_uri: `${made.base}/token`, ...(key ?? account) }));
  const variables = env["GCE_METADATA_HOST"] === "" ? { GCE_METADATA_HOST: `127.0.0.1:${server.port}`, CLOUDSDK_CONFIG: "/nowhere" } : { GOOGLE_APPLICATION_CREDENTIALS: file, ...env };
  made.driver = createGcplogsDriver({ env: variables, endpoint: made.base, productName: () => "" });
  made.start = () => server.start();
  made.stop = () => server.stop();
  return made;
}

// The contract makes the driver before its server: each server has one of its own.
let current: Logging;
logDriverContract("gcplogs", { id: "gcplogs", open: (from, options) => {
  const sink = current.driver.open(from, options);
  const send: LogSink["send"] = (records) => sink.send(records.map((one) => (one.stderr ? { ...one, time: "1970-01-01T00:00:01Z" } : one)));
  return { verify: () => sink.verify(), send, close: () => sink.close(), abort: () => sink.abort() };
} }, async (t) => (current = await logging(t)));

async function opened(t: TestContext, more: Parameters<typeof logging>[1] = {}, from: Parameters<typeof origin>[0] = {}): Promise<{ server: Logging; sink: LogSink }> {
  const server = await logging(t, more);
  const sink = server.driver.open(origin(from), server.options);
  t.after(async () => {
    sink.abort();
    await server.stop();
  });
  return { server, sink };
}

test("entries are as Docker's: the container, its labels and command, and the machine that the options name", async (t) => {
  const { server, sink } = await opened(t, { options: { "gcp-project": "p", "gcp-log-cmd": "true", "gcp-meta-zone": "z", "gcp-meta-id": "9" } }, { attributes: { kind: "test" } });
  await sink.verify();
  assert.deepEqual(server.requests[0]?.entries, [{ logName: "projects/p/logs/ping", resource: { type: "global", labels: {} }, timestamp: "1970-01-01T00:00:00Z", insertId: "ping", textPayload: "ping" }]);
  await sink.send([record("hello")]);
  const { id, imageId, imageName, created, command } = origin();
  const container = { name: "/web", id, imageName, imageId, created, command, metadata: { kind: "test" } };
  assert.deepEqual(server.requests[1], {
    entries: [{ logName: "projects/p/logs/gcplogs-docker-driver", resource: { type: "gce_instance", labels: { instance_id: "9", zone: "z" } }, timestamp: "2026-01-02T03:04:05.123456789Z", jsonPayload: { instance: { zone: "z", id: "9" }, container, message: "hello" } }],
    partialSuccess: true,
  });
  const plain = await opened(t);
  await plain.sink.send([record("x")]);
  const { resource, jsonPayload } = plain.server.requests[0]!.entries[0]!;
  assert.deepEqual([resource, jsonPayload.instance, jsonPayload.container["command"], jsonPayload.container["metadata"]], [{ type: "project", labels: { project_id: "project" } }, undefined, undefined, undefined]);
});

test("a machine of Google's says what it is, whatever the options say, and whose project it is in", async (t) => {
  const { server, sink } = await opened(t, { env: { GCE_METADATA_HOST: "" }, options: { "gcp-meta-name": "ignored" } });
  await sink.verify();
  await sink.send([record("x")]);
  const { logName, resource, jsonPayload } = server.requests[1]!.entries[0]!;
  assert.deepEqual([logName, resource.labels, jsonPayload.instance], ["projects/meta-project/logs/gcplogs-docker-driver", { instance_id: "77", zone: "eu-west1-b" }, { zone: "eu-west1-b", name: "machine", id: "77" }]);
});

test("credentials: a user's, a token that has ended, and what cannot be used is said", async (t) => {
  const user = await opened(t, { key: { type: "authorized_user", client_id: "client", client_secret: "secret", refresh_token: "refresh" } });
  await user.sink.verify();
  user.server.tokens.clear();
  await assert.rejects(user.sink.send([record("x")]), /401 Unauthorized: who are you/);
  await user.sink.send([record("x")]);
  assert.deepEqual([user.server.asked, user.server.received], [2, [{ text: "x", stderr: false }]]);
  const refused = await opened(t, { key: { type: "authorized_user", refresh_token: "old" } });
  await assert.rejects(refused.sink.verify(), /^Error: unable to connect or authenticate with Google Cloud Logging: oauth2: cannot fetch token: 400 Bad Request: \{"error":"invalid_grant"\}$/);
  const foreign = await opened(t, { key: { type: "external_account" } });
  await assert.rejects(foreign.sink.verify(), /credentials of type "external_account" are not supported/);
  const missing = await opened(t, { env: { GOOGLE_APPLICATION_CREDENTIALS: "/nowhere.json" } });
  await assert.rejects(missing.sink.verify(), /error getting credentials using GOOGLE_APPLICATION_CREDENTIALS/);
  const nobody = await opened(t, { options: {} });
  await assert.rejects(nobody.sink.verify(), { message: "No project was specified and couldn't read project from the metadata server. Please specify a project" });
});

test("what the service will never take is told and left out; what it does not take now comes again; requests are bounded", async (t) => {
  const { server, sink } = await opened(t);
  server.refuse = { status: 400, text: '{"error":{"code":400,"message":"Log entry 0 is too old","status":"INVALID_ARGUMENT"}}' };
  assert.equal(await sink.send([record("x")]), "400 Bad Request: Log entry 0 is too old");
  server.refuse = { status: 429, text: "slow down" };
  await assert.rejects(sink.send([record("x")]), /429 Too Many Requests: slow down/);
  server.refuse = undefined;
  server.requests = [];
  await sink.send(Array.from({ length: 2001 }, (_, index) => record(`${index}`)));
  assert.deepEqual(server.requests.map(({ entries }) => entries.length), [1000, 1000, 1]);
});
