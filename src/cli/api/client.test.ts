import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import type { Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { after, test } from "node:test";
import { ApiClient, type ApiError, compareVersions, path, readAll } from "./client.ts";
import { normaliseHost, openEndpoint } from "./endpoint.ts";

const net = process.getBuiltinModule("node:net");
const folder = mkdtempSync(`${tmpdir()}/gantry-client-`);
const servers: Server[] = [];
const sockets: Socket[] = [];
after(() => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Seen {
  head: string;
  body: string;
}

/** A server that answers each request of a connection with the next of `answers`. */
async function serve(answers: (string | ((socket: Socket, seen: Seen) => void))[]): Promise<{ client: ApiClient; seen: Seen[]; connections: () => number }> {
  const seen: Seen[] = [];
  let connections = 0;
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    connections++;
    sockets.push(socket);
    let data = "";
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      data += chunk.toString("latin1");
      const end = data.indexOf("\r\n\r\n");
      if (end < 0) return;
      const head = data.slice(0, end);
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      const chunked = /chunked/i.test(head);
      if (chunked ? !data.endsWith("0\r\n\r\n") : data.length < end + 4 + length) return;
      const request = { head, body: data.slice(end + 4) };
      data = "";
      seen.push(request);
      const answer = answers.shift();
      if (typeof answer === "function") answer(socket, request);
      else socket.write(answer ?? "HTTP/1.1 500 none left\r\nContent-Length: 0\r\n\r\n");
    });
  });
  servers.push(server);
  const socketPath = `${folder}/${servers.length}.sock`;
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  const client = new ApiClient({ endpoint: openEndpoint(`unix://${socketPath}`, undefined), userAgent: "test" });
  return { client, seen, connections: () => connections };
}

const PING = "HTTP/1.1 200 OK\r\nApi-Version: 1.44\r\nOstype: linux\r\nContent-Length: 0\r\n\r\n";
const json = (text: string, status = "200 OK"): string => `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;

test("negotiates the version and keeps the connection", async () => {
  const { client, seen, connections } = await serve([PING, json('{"a":1}'), json("[]")]);
  assert.deepEqual(await client.json("GET", "/x", { query: { b: true, a: "1 2", none: undefined, list: ["p", "q"] } }), { a: 1 });
  assert.deepEqual(await client.json("POST", "/y", { json: { z: 1 } }), []);
  assert.equal(connections(), 1);
  assert.match(seen[1]?.head ?? "", /^GET \/v1\.44\/x\?a=1\+2&b=1&list=p&list=q HTTP\/1\.1\r\nHost: api\.moby\.localhost\r\n/);
  assert.match(seen[2]?.head ?? "", /Content-Type: application\/json\r\nContent-Length: 7/);
  client.close();
});

test("an error's message is the daemon's", async () => {
  const { client } = await serve([PING, json('{"message":"No such container: x"}', "404 Not Found"), "HTTP/1.1 500 Oh\r\nContent-Length: 5\r\n\r\nplain", "HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n"]);
  await assert.rejects(client.text("GET", "/a"), (thrown: ApiError) => thrown.status === 404 && thrown.message === "Error response from daemon: No such container: x");
  await assert.rejects(client.text("GET", "/a"), { message: "Error response from daemon: plain" });
  await assert.rejects(client.text("GET", "/a"), { message: "request returned 502 Bad for API route and version /v1.44/a, check if the server supports the requested API version" });
  client.close();
});

test("bodies in chunks, and bodies up to the end of the connection", async () => {
  const { client } = await serve([
    PING,
    (socket) => {
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab");
      setTimeout(() => socket.write("c\r\n2;x=y\r\nde\r\n0\r\nTrailer: x\r\n\r\n"), 5);
    },
    (socket) => socket.end("HTTP/1.1 200 OK\r\n\r\nrest"),
  ]);
  assert.equal(await client.text("GET", "/a"), "abcde");
  assert.equal(await client.text("GET", "/a"), "rest");
  client.close();
});

test("a body can be streamed, and an early refusal is heard", async () => {
  async function* parts(): AsyncGenerator<Uint8Array> {
    yield Buffer.from("one");
    yield Buffer.from("two");
  }
  const { client, seen } = await serve([PING, json("{}")]);
  await client.text("POST", "/load", { body: parts() });
  assert.equal(seen[1]?.body, "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
  client.close();
});

test("a connection becomes a raw stream that can be closed on one side", async () => {
  const { client } = await serve([
    PING,
    (socket) => {
      socket.write("HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nfirst ");
      socket.removeAllListeners("data");
      let got = "";
      socket.on("data", (chunk) => (got += chunk));
      socket.on("end", () => socket.end(`then ${got}`));
    },
  ]);
  const { socket, body } = await client.hijack("/attach");
  socket.write("typed");
  socket.end();
  assert.equal(await readAll(body), "first then typed");
});

test("a daemon that is not there is told in Docker's words", async () => {
  const client = new ApiClient({ endpoint: openEndpoint("unix:///nosuch/x.sock", undefined), userAgent: "test" });
  await assert.rejects(client.text("GET", "/a"), { message: "failed to connect to the docker API at unix:///nosuch/x.sock; check if the path is correct and if the daemon is running: dial unix /nosuch/x.sock: connect: no such file or directory" });
  const tcp = new ApiClient({ endpoint: openEndpoint("tcp://127.0.0.1:1", undefined), userAgent: "test" });
  await assert.rejects(tcp.text("GET", "/a"), { message: "Cannot connect to the Docker daemon at tcp://127.0.0.1:1. Is the docker daemon running?" });
});

test("hosts are spelled out", () => {
  const cases: [string, string][] = [["unix://", "unix:///var/run/docker.sock"], ["unix:///x.sock", "unix:///x.sock"], ["tcp://", "tcp://localhost:2375"], ["1.2.3.4", "tcp://1.2.3.4:2375"], ["tcp://[::1]:99", "tcp://[::1]:99"], [":7", "tcp://localhost:7"]];
  for (const [given, expected] of cases) assert.equal(normaliseHost(given, false), expected);
  assert.equal(normaliseHost("tcp://h", true), "tcp://h:2376");
  assert.throws(() => normaliseHost("nosuch://x", false), { message: "invalid bind address format: nosuch://x" });
  assert.equal(normaliseHost("ssh://me@x", false), "ssh://me@x");
  assert.throws(() => normaliseHost("npipe://x", false), /unsupported protocol scheme "npipe"/);
});

test("paths are escaped, versions compared by number", () => {
  assert.equal(path`/images/${"host:5000/a b@sha256:1?"}/json`, "/images/host:5000/a%20b@sha256:1%3F/json");
  assert.ok(compareVersions("1.9", "1.24") < 0 && compareVersions("1.56", "1.56") === 0);
});
