import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { gunzipSync } from "node:zlib";
import { logDriverContract, origin, record, type LogServer } from "../../core/log-driver.contract.ts";
import { httpServer, temporaryFolder } from "../../core/log-server.testing.ts";
import { splunkDriver } from "./index.ts";

interface Event {
  event: { line?: unknown; source?: string; tag?: string; attrs?: object } | string;
  time: string;
  host: string;
}

interface Collector extends LogServer {
  events: Event[];
  requests: IncomingMessage[];
  /** Of what is in a request, the status. */
  answers: (body: string) => number;
}

/** Documents one after the other. */
function documents(text: string): Event[] {
  return JSON.parse(`[${text.replaceAll("}{", "},{")}]`) as Event[];
}

async function collector(options: Record<string, string> = {}, secure?: { key: Buffer; cert: Buffer }): Promise<Collector> {
  const made: Collector = { options, received: [], events: [], requests: [], answers: () => 200, start: () => server.start(), stop: () => server.stop() };
  const server = await httpServer((request, body) => {
    made.requests.push(request);
    const text = (request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body).toString();
    const status = request.method === "OPTIONS" ? 200 : request.headers.authorization === "Splunk token" && request.url === "/services/collector/event/1.0" ? made.answers(text) : 403;
    if (request.method === "POST" && status === 200) {
      for (const event of documents(text)) {
        made.events.push(event);
        if (typeof event.event === "object") made.received.push({ text: String(event.event.line), stderr: event.event.source === "stderr" });
      }
    }
    return { status, text: status === 200 ? '{"text":"Success","code":0}' : '{"text":"no","code":6}' };
  }, secure);
  made.options = { "splunk-url": `http${secure ? "s" : ""}://127.0.0.1:${server.port}`, "splunk-token": "token", ...options };
  return made;
}

async function secureCollector(t: TestContext): Promise<Collector> {
  const folder = temporaryFolder(t);
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=splunk", "-addext", "subjectAltName=DNS:splunk", "-keyout", key, "-out", cert], { stdio: "pipe" });
  return collector({ "splunk-capath": cert, "splunk-caname": "splunk" }, { key: readFileSync(key), cert: readFileSync(cert) });
}

logDriverContract("splunk", splunkDriver, () => collector());
logDriverContract("splunk with gzip", splunkDriver, () => collector({ "splunk-gzip": "true", "splunk-gzip-level": "9" }));
logDriverContract("splunk over TLS", splunkDriver, secureCollector);

test("the forms of events", async (t) => {
  const send = async (options: Record<string, string>, texts: string[], change: Parameters<typeof origin>[0] = {}): Promise<Event[]> => {
    const made = await collector({ "splunk-source": "src", ...options });
    t.after(() => made.stop());
    const sink = splunkDriver.open(origin(change), made.options);
    await sink.send(texts.map((text) => record(text)));
    await sink.close();
    return made.events;
  };
  const head = { time: "1767323045.123456", host: "host1", source: "src" };
  assert.deepEqual(await send({ "splunk-index": "i", "splunk-sourcetype": "st" }, ["x"], { attributes: { l: "v" } }), [{ event: { line: "x", source: "stdout", tag: "abababababab", attrs: { l: "v" } }, ...head, sourcetype: "st", index: "i" }]);
  assert.deepEqual(await send({ "splunk-format": "json" }, ['{"a":1}', "{"], { tag: "" }), [{ event: { line: { a: 1 }, source: "stdout" }, ...head }, { event: { line: "{", source: "stdout" }, ...head }]);
  assert.deepEqual(await send({ "splunk-format": "raw" }, ["x", "  "], { attributes: { l: "v" } }), [{ event: "abababababab l=v x", ...head }]);
});

test("a thousand events a request; an event that the collector refuses does not hold up the others", async (t) => {
  const made = await collector({ "splunk-index-acknowledgment": "true" });
  t.after(() => made.stop());
  const sink = splunkDriver.open(origin(), made.options);
  assert.equal(await sink.send(Array.from({ length: 1500 }, (_, index) => record(`r${index}`))), undefined);
  assert.deepEqual([made.requests.length, made.events.length], [2, 1500]);
  assert.match(String(made.requests[0]?.headers["x-splunk-request-channel"]), /^[0-9a-f-]{36}$/);
  made.answers = (body) => (body.includes("poison") ? 400 : 200);
  assert.match((await sink.send([record("before"), record("poison"), record("after")])) ?? "", /failed to send event - 400 Bad Request - /);
  assert.deepEqual(made.received.slice(-2).map(({ text }) => text), ["before", "after"]);
  made.answers = () => 503;
  await assert.rejects(sink.send([record("later")]), /splunk: failed to send event - 503 Service Unavailable/);
  await sink.close();
});

test("options in Docker's words", async () => {
  const refused = (options: Record<string, string>, message: string | RegExp): void => assert.throws(() => splunkDriver.open(origin(), options), { message });
  refused({}, "splunk: splunk-url is expected");
  refused({ "splunk-url": "http://h:1" }, "splunk: splunk-token is expected");
  for (const url of ["h:1", "ftp://h", "http://h/x", "http://h?q"]) refused({ "splunk-url": url, "splunk-token": "t" }, "splunk: expected format scheme://dns_name_or_ip:port for splunk-url");
  refused({ "splunk-url": "http://h:1", "splunk-token": "t", "splunk-format": "xml" }, "unknown format specified xml, supported formats are inline, json and raw");
  refused({ "splunk-url": "http://h:1", "splunk-token": "t", "splunk-gzip-level": "10" }, "not supported level '10' for splunk-gzip-level (supported values between -1 and 9)");
  await splunkDriver.open(origin(), { "splunk-url": "http://127.0.0.1:1", "splunk-token": "t", "splunk-verify-connection": "false" }).verify();
});
