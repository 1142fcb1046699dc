import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { logDriverContract, origin, record, type LogServer } from "../../core/log-driver.contract.ts";
import { httpServer, temporaryFolder } from "../../core/log-server.testing.ts";
import { HttpSender } from "../../sys/http-sender.ts";
import { findCredentials, findRegion } from "./credentials.ts";
import { eventPattern } from "./event-pattern.ts";
import { createAwslogsDriver, eventsOf, type LogEvent } from "./index.ts";
import { signed } from "./signature.ts";

const SECRET = "secret/key";
const env = { AWS_ACCESS_KEY_ID: "AKID", AWS_SECRET_ACCESS_KEY: SECRET };

interface CloudWatch extends LogServer {
  calls: { action: string; body: { logGroupName: string; logStreamName?: string; logEvents?: LogEvent[] }; headers: IncomingMessage["headers"] }[];
  /** What exists: "group", "group/stream". */
  things: Set<string>;
}

/** The signature as the service makes it, from the request that came. */
function isSigned(request: IncomingMessage, body: Buffer): boolean {
  const match = /^AWS4-HMAC-SHA256 Credential=AKID\/(\d{8})\/(eu-x-1)\/(logs)\/aws4_request, SignedHeaders=(\S+), Signature=([0-9a-f]{64})$/.exec(request.headers.authorization ?? "");
  if (!match) return false;
  const [, day = "", region = "", service = "", names = "", signature] = match;
  const sha = (data: string | Buffer): string => createHash("sha256").update(data).digest("hex");
  const mac = (key: string | Buffer, data: string): Buffer => createHmac("sha256", key).update(data).digest();
  const headers = names.split(";").map((name) => `${name}:${String(request.headers[name])}\n`).join("");
  const canonical = `POST\n/\n\n${headers}\n${names}\n${sha(body)}`;
  const text = `AWS4-HMAC-SHA256\n${String(request.headers["x-amz-date"])}\n${day}/${region}/${service}/aws4_request\n${sha(canonical)}`;
  return mac(mac(mac(mac(mac(`AWS4${SECRET}`, day), region), service), "aws4_request"), text).toString("hex") === signature;
}

async function cloudWatch(options: Record<string, string> = {}): Promise<CloudWatch> {
  const made: CloudWatch = { options, received: [], calls: [], things: new Set(["g"]), start: () => server.start(), stop: () => server.stop() };
  const outcome = (request: IncomingMessage, body: Buffer): string | undefined => {
    if (!isSigned(request, body)) return "InvalidSignatureException";
    const action = String(request.headers["x-amz-target"]).replace("Logs_20140328.", "");
    const asked = JSON.parse(body.toString()) as CloudWatch["calls"][number]["body"];
    made.calls.push({ action, body: asked, headers: request.headers });
    const name = action === "CreateLogGroup" ? asked.logGroupName : `${asked.logGroupName}/${asked.logStreamName}`;
    if (action !== "CreateLogGroup" && !made.things.has(asked.logGroupName)) return "ResourceNotFoundException";
    if (action !== "PutLogEvents") return made.things.has(name) ? "ResourceAlreadyExistsException" : void made.things.add(name);
    if (!made.things.has(name)) return "ResourceNotFoundException";
    made.received.push(...(asked.logEvents ?? []).map(({ message, timestamp }) => ({ text: message, stderr: timestamp === -1 })));
    return undefined;
  };
  const server = await httpServer((request, body) => {
    const problem = outcome(request, body);
    return problem === undefined ? { status: 200, text: "{}" } : { status: 400, text: JSON.stringify({ __type: `com.amazonaws#${problem}`, message: "no" }) };
  });
  made.options = { "awslogs-group": "g", "awslogs-region": "eu-x-1", "awslogs-endpoint": `http://127.0.0.1:${server.port}`, "awslogs-force-flush-interval-seconds": "0", ...options };
  return made;
}

const driver = createAwslogsDriver(env);
/** The service does not know of streams of output. */
const tellsStderr = { id: "awslogs", open: (...given: Parameters<typeof driver.open>) => {
  const sink = driver.open(...given);
  return { ...sink, send: (records: Parameters<typeof sink.send>[0]) => sink.send(records.map((one) => (one.stderr ? { ...one, time: "1969-12-31T23:59:59.999Z" } : one))) };
} };
logDriverContract("awslogs", tellsStderr, () => cloudWatch());

test("the signature of Amazon's own example", () => {
  const credentials = { accessKey: "AKIDEXAMPLE", secretKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" };
  const headers = signed({ method: "GET", url: new URL("https://example.amazonaws.com/"), headers: {}, body: Buffer.alloc(0) }, { credentials, scope: { region: "us-east-1", service: "service" }, now: new Date("2015-08-30T12:36:00Z") });
  assert.equal(headers["authorization"], "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
});

async function opened(t: TestContext, options: Record<string, string>, more: Record<string, string> = env): Promise<{ server: CloudWatch; sink: ReturnType<typeof driver.open> }> {
  const server = await cloudWatch(options);
  const sink = createAwslogsDriver(more).open(origin(), server.options);
  t.after(async () => {
    sink.abort();
    await server.stop();
  });
  return { server, sink };
}

test("groups and streams are made as the options say", async (t) => {
  const plain = await opened(t, {});
  await plain.sink.verify();
  assert.deepEqual([...plain.server.things], ["g", "g/abababababab"]);
  const missing = await opened(t, { "awslogs-group": "other" });
  await assert.rejects(missing.sink.verify(), /^Error: failed to create Cloudwatch log stream: ResourceNotFoundException/);
  const made = await opened(t, { "awslogs-group": "other", "awslogs-create-group": "true", "awslogs-stream": "s" });
  await made.sink.verify();
  assert.deepEqual([...made.server.things], ["g", "other", "other/s"]);
  const left = await opened(t, { "awslogs-create-stream": "false", "awslogs-format": "json/emf" });
  left.server.things.add("g/abababababab");
  await left.sink.verify();
  await left.sink.send([record("x")]);
  assert.deepEqual(left.server.calls.map(({ action, headers }) => [action, headers["x-amzn-logs-format"]]), [["PutLogEvents", "json/emf"]]);
});

test("wrong keys are said; requests keep to the service's limits; events are in order of time", async (t) => {
  const wrong = await opened(t, {}, { ...env, AWS_SECRET_ACCESS_KEY: "other" });
  await assert.rejects(wrong.sink.verify(), /InvalidSignatureException/);
  const { server, sink } = await opened(t, {});
  await sink.verify();
  await sink.send(Array.from({ length: 10_001 }, () => record("x")));
  await sink.send(Array.from({ length: 70 }, () => record("y".repeat(16_384))));
  await sink.send([record("late"), record("early", { time: "2026-01-01T00:00:00Z" })]);
  const puts = server.calls.filter(({ action }) => action === "PutLogEvents").map(({ body }) => body.logEvents ?? []);
  assert.deepEqual(puts.map(({ length }) => length), [10_000, 1, 63, 7, 1, 1]);
  assert.deepEqual(puts.slice(-2).flat(), [{ message: "early", timestamp: Date.parse("2026-01-01T00:00:00Z") }, { message: "late", timestamp: Date.parse("2026-01-02T03:04:05.123Z") }]);
});

test("parts of a line are one event; so are lines up to the next one that begins an event", () => {
  const part = (ordinal: number, last: boolean): { part: { id: string; ordinal: number; last: boolean } } => ({ part: { id: "p", ordinal, last } });
  assert.deepEqual(eventsOf([record("a", part(1, false)), record("b", part(2, true)), record("c"), record("")]).map(({ message }) => message), ["ab", "c"]);
  const time = "2026-01-02T03:04:06Z";
  const lines = [record("  late"), record("ERROR one"), record("  at x", { time }), record(""), record("ERROR t", part(1, false)), record("ERROR wo", part(2, true)), record("end")];
  const events = eventsOf(lines, (text) => text.startsWith("ERROR"));
  assert.deepEqual(events.map(({ message }) => message), ["  late\n", "ERROR one\n  at x\n\n", "ERROR tERROR wo\nend\n"]);
  assert.equal(events[1]?.timestamp, Date.parse("2026-01-02T03:04:05.123Z"), "the time of its first line");
  const large = Array.from({ length: 20 }, () => record("y".repeat(16_384)));
  assert.deepEqual(eventsOf(large, () => false).map(({ message }) => message.length), [15 * 16_385, 5 * 16_385], "no larger than an event may be");
});

test("which lines begin an event: a pattern, or a time in a format of strftime", () => {
  const begins = (options: Record<string, string>, text: string): boolean | undefined => eventPattern(options)?.test(text);
  assert.equal(begins({}, "x"), undefined);
  assert.equal(begins({ "awslogs-multiline-pattern": "^(INFO|ERROR)" }, "ERROR x"), true);
  const format = { "awslogs-datetime-format": "\\[%b %d, %Y %H:%M:%S\\]" };
  assert.equal(begins(format, "[May 01, 2017 19:00:01] A message"), true);
  assert.equal(begins(format, "second line"), false);
  assert.equal(begins({ "awslogs-datetime-format": "%A %a %w %B %m %y %I %p %f %z %Z %j%L" }, "Monday Mon 1 June 06 26 09 AM 123456 +0200 CEST 152.250"), true);
  assert.throws(() => driver.open(origin(), { "awslogs-group": "g", "awslogs-multiline-pattern": "(" }), /^Error: awslogs could not parse multiline pattern key "\("/);
});

test("credentials and the region come from the environment, a file, an endpoint or the machine", async (t) => {
  const document = JSON.stringify({ AccessKeyId: "A", SecretAccessKey: "S", Token: "T", Expiration: "2099-01-01T00:00:00Z" });
  const server = await httpServer(({ url, method, headers }) => {
    const answers: Record<string, string> = { "GET /creds": document, "PUT /latest/api/token": "tok", "GET /latest/meta-data/placement/region": "eu-y-2", "GET /latest/meta-data/iam/security-credentials/": "role\n", "GET /latest/meta-data/iam/security-credentials/role": document };
    const text = url?.startsWith("/latest/meta-data") && headers["x-aws-ec2-metadata-token"] !== "tok" ? undefined : answers[`${method} ${url}`];
    return { status: text === undefined ? 404 : 200, text: text ?? "" };
  });
  const http = new HttpSender();
  t.after(() => (http.close(), server.stop()));
  const base = `http://127.0.0.1:${server.port}`;
  const file = join(temporaryFolder(t), "credentials");
  writeFileSync(file, "[default]\naws_access_key_id = D\naws_secret_access_key = E\n[other]\naws_access_key_id=O\naws_secret_access_key=P\n");
  const none = { AWS_SHARED_CREDENTIALS_FILE: "/nowhere" };
  const found = async (more: Record<string, string>, endpoint?: string): Promise<unknown> => (await findCredentials({ endpoint, env: { ...none, ...more }, http })).credentials;
  assert.deepEqual(await found(env), { accessKey: "AKID", secretKey: SECRET });
  assert.deepEqual(await found({ AWS_SHARED_CREDENTIALS_FILE: file }), { accessKey: "D", secretKey: "E" });
  assert.deepEqual(await found({ AWS_SHARED_CREDENTIALS_FILE: file, AWS_PROFILE: "other" }), { accessKey: "O", secretKey: "P" });
  const temporary = { accessKey: "A", secretKey: "S", token: "T" };
  assert.deepEqual(await found({ AWS_CONTAINER_CREDENTIALS_FULL_URI: `${base}/creds` }), temporary);
  assert.deepEqual(await found({ AWS_CONTAINER_ENDPOINT: base }, "/creds"), temporary);
  assert.deepEqual(await found({ AWS_EC2_METADATA_SERVICE_ENDPOINT: base }), temporary);
  await assert.rejects(found({ AWS_EC2_METADATA_DISABLED: "true" }), /no AWS credentials were found/);
  assert.equal(await findRegion(undefined, { endpoint: undefined, env: { AWS_EC2_METADATA_SERVICE_ENDPOINT: base }, http }), "eu-y-2");
  assert.equal(await findRegion(undefined, { endpoint: undefined, env: { AWS_REGION: "r" }, http }), "r");
});
