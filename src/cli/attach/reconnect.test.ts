import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import type { Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ApiClient } from "../api/client.ts";
import { openEndpoint } from "../api/endpoint.ts";
import { nextDaemon } from "./reconnect.ts";

const net = process.getBuiltinModule("node:net");

function socketIn(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "gantry-reconnect-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "s.sock");
}

async function daemonAt(path: string): Promise<Server> {
  const server = net.createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", () => socket.end("HTTP/1.1 200 OK\r\nApi-Version: 1.44\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK"));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return server;
}

test("a daemon that comes back is found; who is told to end waits no longer", async (t) => {
  const path = socketIn(t);
  const client = new ApiClient({ endpoint: openEndpoint(`unix://${path}`, undefined), userAgent: "test", apiVersion: "1.44" });
  const waiting = nextDaemon(client);
  await delay(200);
  const server = await daemonAt(path);
  assert.equal(await waiting, true);
  server.close();
  client.close();
  const left = nextDaemon(client);
  process.emit("SIGINT", "SIGINT");
  assert.equal(await left, false);
  assert.equal(process.listenerCount("SIGINT"), 0);
});

test("a daemon that was there and is gone is not started by who waits for it", async (t) => {
  const path = socketIn(t);
  let started = 0;
  const client = new ApiClient({ endpoint: openEndpoint(`unix://${path}`, undefined), userAgent: "test", apiVersion: "1.44", onUnreachable: async () => ++started > 0 });
  const server = await daemonAt(path);
  await client.text("GET", "/_ping");
  await new Promise<void>((resolve) => server.close(() => resolve()));
  client.close();
  await assert.rejects(client.text("GET", "/_ping"));
  assert.equal(started, 0);
});
