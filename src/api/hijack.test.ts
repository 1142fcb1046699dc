import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { NetConnectOpts } from "node:net";
import { PassThrough } from "node:stream";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { conflict } from "../lib/errors.ts";
import { until } from "../lib/eventually.testing.ts";
import type { Call, Route } from "./route.ts";
import { bridge } from "./streams.ts";
import { serve } from "./testing/harness.ts";
import { RawClient } from "./testing/raw-client.ts";

/** Tells the request's body, then what the client sends, then says goodbye when the client has ended its side. */
async function echo(call: Call): Promise<void> {
  let body = "";
  for await (const chunk of call.req) body += String(chunk);
  const client = call.hijack("application/vnd.docker.raw-stream");
  client.write(`body=${body};`);
  client.on("data", (chunk: Buffer) => client.write(`got ${chunk.toString()};`));
  client.on("end", () => client.end("goodbye"));
}

const routes: Route[] = [
  { method: "POST", path: "/echo", handler: echo },
  { method: "POST", path: "/slow", handler: async (call) => void (await new Promise((resolve) => setTimeout(resolve, 50)), call.hijack("x/y").end("late")) },
  {
    method: "POST",
    path: "/later",
    handler: async (call) => {
      const client = call.hijack("x/y");
      await new Promise((resolve) => setTimeout(resolve, 50));
      await bridge(client, new PassThrough());
    },
  },
  {
    method: "POST",
    path: "/refuse",
    handler: () => {
      throw conflict("not now");
    },
  },
  { method: "GET", path: "/plain", handler: ({ res }) => void res.end("plain") },
];
const UPGRADE = "Connection: Upgrade\r\nUpgrade: tcp\r\n";
const post = (path: string, headers: string, body = ""): string => `POST ${path} HTTP/1.1\r\nHost: x\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`;

test("an upgrade answers 101 and carries both ways, half-closed too", async () => {
  await using api = await serve(routes);
  const client = api.open().send(post("/echo", UPGRADE));
  const head = await client.until("body=;");
  assert.match(head, /^HTTP\/1\.1 101 UPGRADED\r\nContent-Type: application\/vnd\.docker\.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n(?:[^]*\r\n)?Api-Version: 1\.56\r\n/);
  client.send("one");
  await client.until("got one;");
  client.socket.end("two");
  assert.match(await client.untilEnd(), /got two;goodbye$/);
});

test("an upgrade has its body whether that comes with the head or later, and what follows it is the stream", async () => {
  await using api = await serve(routes);
  const together = api.open().send(`${post("/echo", UPGRADE, "{}")}extra`);
  await together.until(/body=\{\};got extra;/);
  together.socket.end();
  await together.until("goodbye");

  const later = api.open().send(`POST /echo HTTP/1.1\r\nHost: x\r\n${UPGRADE}Content-Length: 7\r\n\r\n`);
  await new Promise((resolve) => setTimeout(resolve, 30));
  later.send("[1,");
  await new Promise((resolve) => setTimeout(resolve, 30));
  later.send("2,3]");
  await later.until("body=[1,2,3];");
  later.send("more");
  await later.until("got more;");
  later.socket.end();
  assert.match(await later.untilEnd(), /goodbye$/);
});

test("without an upgrade the answer is 200 and the raw stream", async () => {
  await using api = await serve(routes);
  const client = api.open().send(post("/echo", "", "{}"));
  assert.match(await client.until("body={};"), /^HTTP\/1\.1 200 OK\r\nContent-Type: application\/vnd\.docker\.raw-stream\r\n\r\nbody=/);
  client.send("one");
  await client.until("got one;");
  client.socket.end("two");
  assert.match(await client.untilEnd(), /got two;goodbye$/);
});

test("a client that has nothing to say still gets the output", async () => {
  await using api = await serve(routes);
  for (const headers of ["", UPGRADE]) {
    const client = api.open();
    client.socket.end(post("/slow", headers));
    assert.match(await client.untilEnd(), /late$/);
  }
});

test("an end that comes before anybody reads is passed on, after what came before it", async () => {
  await using api = await serve(routes);
  for (const said of ["", "something"]) {
    const client = api.open().send(post("/later", UPGRADE));
    await client.until("\r\n\r\n");
    client.socket.end(said);
    assert.match(await client.untilEnd(), new RegExp(`\r\n\r\n${said}$`));
  }
});

test("errors and other routes answer an upgrading client as any other", async () => {
  await using api = await serve(routes);
  assert.match(await api.open().send(post("/refuse", UPGRADE)).untilEnd(), /^HTTP\/1\.1 409 [^]*"not now"/);
  assert.match(await api.open().send(post("/nosuch", UPGRADE)).untilEnd(), /^HTTP\/1\.1 404 /);
  assert.match(await api.open().send(`GET /plain HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n`).untilEnd(), /^HTTP\/1\.1 200 [^]*plain$/);
});

test("connections that were taken over and aborted are let go, though nobody writes to them or reads from them", async () => {
  await using api = await serve([
    { method: "POST", path: "/echo", handler: (call) => void call.hijack("x/y").write("body=;") },
    { method: "POST", path: "/silent", handler: (call) => void call.hijack("x/y").on("data", () => {}).write("body=;") },
  ]);
  for (const headers of ["", UPGRADE]) {
    const reading = Array.from({ length: 100 }, () => api.open().send(post("/silent", headers)));
    await Promise.all(reading.map((client) => client.until("body=;")));
    for (const client of reading) client.socket.destroy();
  }
  await until("no connections are left", () => api.connections.total === 0);
  for (const headers of ["", UPGRADE]) {
    const clients = Array.from({ length: 100 }, () => api.open().send(post("/echo", headers)));
    await Promise.all(clients.map((client) => client.until("body=;")));
    for (const client of clients) client.socket.destroy();
  }
  await until("no connections are left", () => api.connections.total === 0);
});

function certificate(): { key: Buffer; cert: Buffer } {
  const folder = mkdtempSync(join(tmpdir(), "gantry-tls-"));
  try {
    execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost", "-days", "1", "-keyout", join(folder, "key.pem"), "-out", join(folder, "cert.pem")], { stdio: "ignore" });
    return { key: readFileSync(join(folder, "key.pem")), cert: readFileSync(join(folder, "cert.pem")) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function openTls(address: NetConnectOpts): RawClient {
  const options = { ...address, rejectUnauthorized: false, allowHalfOpen: true };
  return new RawClient(connectTls(options as ConnectionOptions));
}

test("half-close works through TLS", async () => {
  await using api = await serve(routes, { tcp: { tls: certificate() } });
  for (const headers of ["", UPGRADE]) {
    const client = openTls(api.address).send(post("/echo", headers));
    await client.until("body=;");
    client.socket.end("two");
    assert.match(await client.untilEnd(), /got two;goodbye$/);
  }
});

test("connections that stall in their TLS handshake make place, those that are served do not", async () => {
  await using api = await serve(routes, { tcp: { tls: certificate() }, limits: { waiting: 5, total: 50 }, headMilliseconds: 10_000 });
  const served = openTls(api.address).send(post("/echo", UPGRADE));
  await served.until("body=;");
  const stalled = Array.from({ length: 30 }, () => api.open());
  await until("25 of 30 are closed", () => stalled.filter((client) => client.ended).length >= 25);
  served.send("still");
  await served.until("got still;");
  for (const client of [served, ...stalled]) client.socket.destroy();
  await until("no connections are left", () => api.connections.total === 0);
});
