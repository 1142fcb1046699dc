import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo, connect, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { ApiClient, readAll } from "./client.ts";
import { openEndpoint, type TlsFiles } from "./endpoint.ts";

const VARIABLES = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"].flatMap((name) => [name, name.toUpperCase()]);

function withEnvironment(t: TestContext, values: Record<string, string>): void {
  const before = VARIABLES.map((name) => [name, process.env[name]] as const);
  for (const name of VARIABLES) delete process.env[name];
  Object.assign(process.env, values);
  t.after(() => {
    for (const [name, value] of before) if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  });
}

async function listening(t: TestContext, server: Server): Promise<number> {
  const sockets = new Set<{ destroy(): unknown }>();
  server.on("connection", (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** A proxy that takes "daemon.test" for 127.0.0.1, and wants this name and password. */
async function proxy(t: TestContext): Promise<{ port: number; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((_, response) => response.writeHead(405).end());
  server.on("connect", (request: IncomingMessage, client) => {
    asked.push(String(request.url));
    client.on("error", () => undefined);
    const [host, port] = String(request.url).split(":");
    if (request.headers["proxy-authorization"] !== `Basic ${Buffer.from("me:se cret").toString("base64")}` || host !== "daemon.test") return void client.end("HTTP/1.1 403 Forbidden\r\n\r\n");
    const upstream = connect({ host: "127.0.0.1", port: Number(port), allowHalfOpen: true }, () => {
      client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      client.pipe(upstream).pipe(client);
    });
    upstream.on("error", () => client.destroy());
  });
  return { port: await listening(t, server), asked };
}

function daemon(request: IncomingMessage, response: { writeHead(status: number, headers: Record<string, string>): unknown; end(text?: string): unknown }): void {
  response.writeHead(200, { "api-version": "1.44", "connection": "close" });
  response.end(request.method === "HEAD" ? undefined : `${request.method} ${request.url}`);
}

const clientOf = (host: string, tls?: TlsFiles): ApiClient => new ApiClient({ endpoint: openEndpoint(host, tls), userAgent: "test" });

test("a tcp host is reached through the proxy, streams of both directions too; others and NO_PROXY's directly", async (t) => {
  const server = createServer(daemon);
  server.on("upgrade", (_, socket) => {
    socket.write("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello ");
    socket.on("data", (chunk: Buffer) => socket.end(`you said ${chunk.toString()}`));
  });
  const port = await listening(t, server);
  const { port: proxyPort, asked } = await proxy(t);
  withEnvironment(t, { HTTP_PROXY: `http://me:se%20cret@127.0.0.1:${proxyPort}`, no_proxy: "near.test" });
  const client = clientOf(`tcp://daemon.test:${port}`);
  assert.equal(await client.text("GET", "/info"), "GET /v1.44/info");
  const { socket, body } = await client.hijack("/containers/x/attach");
  socket.write("hi");
  assert.equal(await readAll(body), "hello you said hi");
  assert.deepEqual([...new Set(asked)], [`daemon.test:${port}`]);
  const known = asked.length;
  assert.equal(await clientOf(`tcp://localhost:${port}`).text("GET", "/info"), "GET /v1.44/info");
  await assert.rejects(clientOf("tcp://near.test:1").text("GET", "/info"), /near\.test/);
  assert.equal(asked.length, known);
  await assert.rejects(clientOf("tcp://other.test:1").text("GET", "/info"), new RegExp(`error during connect: the proxy 127\\.0\\.0\\.1:${proxyPort} refuses a connection to other\\.test:1: 403 Forbidden$`));
  process.env["HTTP_PROXY"] = "http://127.0.0.1:1";
  await assert.rejects(client.text("POST", "/x", { body: Buffer.from("x") }), /error during connect: proxyconnect tcp: connect ECONNREFUSED/);
});

test("with TLS HTTPS_PROXY counts, and the certificate is the daemon's", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "gantry-proxy-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const [key, ca] = [join(folder, "key.pem"), join(folder, "ca.pem")];
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=daemon.test", "-addext", "subjectAltName=DNS:daemon.test", "-keyout", key, "-out", ca], { stdio: "pipe" });
  const port = await listening(t, createSecureServer({ key: readFileSync(key), cert: readFileSync(ca) }, daemon));
  const { port: proxyPort, asked } = await proxy(t);
  withEnvironment(t, { HTTPS_PROXY: `me:se%20cret@127.0.0.1:${proxyPort}`, HTTP_PROXY: "http://127.0.0.1:1" });
  assert.equal(await clientOf(`tcp://daemon.test:${port}`, { ca, verify: true }).text("GET", "/info"), "GET /v1.44/info");
  assert.ok(asked.length > 0);
});
