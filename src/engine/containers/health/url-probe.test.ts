import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer } from "node:net";
import { test } from "node:test";
import { formatIp } from "../../../lib/ip.ts";
import { probeTarget, probeUrl } from "./url-probe.ts";

const shell = (text: string) => probeTarget(["CMD-SHELL", text]);
const shown = (text: string): string => {
  const { kind, address, port, host, path } = shell(text)!;
  return [kind, formatIp(address), port, host, path].join(" ");
};

test("which checks are URLs", () => {
  assert.equal(shown("http://:8080/healthz?full=1"), "http 127.0.0.1 8080 localhost:8080 /healthz?full=1");
  assert.equal(shown(" http://localhost "), "http 127.0.0.1 80 localhost /");
  assert.equal(shown("http://[::1]:90?q"), "http ::1 90 [::1]:90 /?q");
  assert.equal(shown("tcp://:5432"), "tcp 127.0.0.1 5432 localhost:5432 ");
  for (const text of ["curl http://localhost", "http://a || exit 1", "https://localhost", "true"]) assert.equal(shell(text), undefined, text);
  for (const test of [["CMD", "http://:80"], ["NONE"], ["CMD-SHELL", "http://:80", "more"], null]) assert.equal(probeTarget(test), undefined);
  for (const text of ["http://example.org/", "tcp://:80/path", "tcp://localhost", "http://:0/", "http://:70000/", "http://user@:80/", "http://:80/#part", "http://"]) {
    if (text === "http://") assert.equal(shown(text), "http 127.0.0.1 80 localhost /");
    else assert.throws(() => shell(text), /^Error: the health check/, text);
  }
});

const probe = (text: string, signal = new AbortController().signal) => {
  const target = shell(text)!;
  return probeUrl(target, connect(target.port, formatIp(target.address)), signal);
};

test("statuses, bodies and connections", async (t) => {
  const server = createServer((request, response) => {
    const status = Number(request.url?.slice(1));
    if (status === 0) return;
    response.writeHead(status, { location: "/200" });
    response.end(status === 200 ? `for ${request.headers.host} ${"x".repeat(10_000)}` : "");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  t.after(() => server.closeAllConnections());
  t.after(() => server.close());
  const good = await probe(`http://:${port}/200`);
  assert.equal(good.exitCode, 0);
  assert.ok(good.output.startsWith(`HTTP 200 OK\nfor localhost:${port} xxx`));
  assert.ok(good.output.length <= 4096 + 12);
  assert.deepEqual(await probe(`http://:${port}/302`), { exitCode: 0, output: "HTTP 302 Found" });
  assert.deepEqual(await probe(`http://:${port}/503`), { exitCode: 1, output: "HTTP 503 Service Unavailable" });
  assert.deepEqual(await probe(`tcp://:${port}`), { exitCode: 0, output: `tcp://localhost:${port}: connected` });
  const late = new AbortController();
  const silent = probe(`http://:${port}/0`, late.signal);
  late.abort(new Error("too late"));
  assert.equal((await silent).exitCode, 1);
});

test("what refuses, and what is no HTTP", async () => {
  const server = createTcpServer((socket) => void socket.on("error", () => {}).resume().end("hello\n"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  assert.equal((await probe(`http://:${port}/`)).exitCode, 1);
  server.close();
  await once(server, "close");
  assert.match((await probe(`http://:${port}/`)).output, /ECONNREFUSED/);
  assert.match((await probe(`tcp://:${port}`)).output, /ECONNREFUSED/);
});
