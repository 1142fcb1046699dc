import assert from "node:assert/strict";
import { test } from "node:test";
import type { Route } from "./route.ts";
import { serve } from "./testing/harness.ts";

const routes: Route[] = [{ method: "GET", path: "/_ping", handler: ({ res }) => void res.end("OK") }];
const status = (answer: string): number => Number(answer.split(" ")[1]);

test("on TCP, foreign host names and web pages are refused, and clients are served", async () => {
  await using api = await serve(routes, { tcp: { names: new Set(["engine.example"]) } });
  const ask = async (headers: string): Promise<number> => status(await api.request(`GET /_ping HTTP/1.1\n${headers}`));
  for (const host of ["127.0.0.1:2375", "[::1]:2375", "localhost", "LocalHost:80", "docker:2375", "engine.example:2375", "ENGINE.example.", ""]) assert.equal(await ask(`Host: ${host}`), 200, host);
  for (const host of ["evil.example", "evil.example:2375", "127.0.0.1.evil.example", "1.2.3.4.5", "engine.example.evil", "[::1].evil.example"]) assert.equal(await ask(`Host: ${host}`), 403, host);
  assert.equal(await ask("Host: 127.0.0.1\nOrigin: http://evil.example"), 403);
  assert.equal(await ask("Host: 127.0.0.1\nOrigin: null"), 403);
  assert.equal(await ask("Host: 127.0.0.1\nSec-Fetch-Site: cross-site"), 403);
});

test("upgrades are guarded too", async () => {
  await using api = await serve(routes, { tcp: { names: new Set() } });
  assert.equal(status(await api.open().send("GET /_ping HTTP/1.1\r\nHost: evil.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").untilEnd()), 403);
});

test("a unix socket takes any host: browsers cannot reach it", async () => {
  await using api = await serve(routes);
  assert.equal(status(await api.request("GET /_ping HTTP/1.1\nHost: %2Frun%2Fdocker.sock\nOrigin: http://proxy.example")), 200);
});
