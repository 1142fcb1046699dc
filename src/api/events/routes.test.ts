import assert from "node:assert/strict";
import { test } from "node:test";
import type { EngineEvent } from "../../core/events.ts";
import { EventBus } from "../../engine/events/bus.ts";
import { until } from "../../lib/eventually.testing.ts";
import { serve } from "../testing/harness.ts";
import { eventRoutes } from "./routes.ts";

const event = (action: string, attributes: Record<string, string> = {}): EngineEvent => ({ type: "container", action, actor: { id: "abc", attributes } });
const get = (path: string, headers = ""): string => `GET ${path} HTTP/1.1\nHost: x${headers}`;

test("past events end with the answer, live ones come as they happen", async () => {
  const bus = new EventBus(() => {});
  await using api = await serve(eventRoutes(bus));
  for (const [index, action] of ["create", "start", "die"].entries()) bus.emit({ ...event(action), at: BigInt(index + 1) * 1_000_000_000n });
  const past = await api.request(get("/events?since=1.5&until=3"));
  assert.match(past, /content-type: application\/jsonl/);
  assert.deepEqual([...past.matchAll(/"Action":"(\w+)"/g)].map((match) => match[1]), ["start", "die"]);

  const live = api.open().send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
  await live.until("\r\n\r\n");
  bus.emit(event("pause"));
  await live.until('"Action":"pause"');
  assert.equal(bus.listeners, 1);
  live.socket.destroy();
  await until("no listener is left", () => bus.listeners === 0);
});

test("a live stream ends at its time", async () => {
  const bus = new EventBus(() => {});
  await using api = await serve(eventRoutes(bus));
  const begin = performance.now();
  await api.request(get(`/events?until=${(Date.now() + 300) / 1000}`));
  assert.ok(performance.now() - begin > 200);
  assert.equal(bus.listeners, 0);
});

test("versions and Accept decide the form", async () => {
  const bus = new EventBus(() => {});
  await using api = await serve(eventRoutes(bus));
  bus.emit({ ...event("start", { image: "i" }), at: 1n });
  bus.emit({ type: "image", action: "create", actor: { id: "i", attributes: {} }, at: 2n });
  const old = await api.request(get("/v1.44/events?until=1"));
  assert.match(old, /content-type: application\/json\r\n[^]*"status":"start","id":"abc","from":"i"/);
  assert.ok(!old.includes('"Action":"create"'), "image creations came with 1.46");
  const sequence = await api.request(get("/events?until=1", "\nAccept: application/x-ndjson;q=0.1, application/json-seq"));
  assert.ok(sequence.includes("content-type: application/json-seq\r\n") && sequence.includes('\u001e{"Type"'));
  assert.match(await api.request(get("/events?until=1", "\nAccept: */*")), /application\/jsonl/);
});

test("wrong times and filters are told in Docker's words", async () => {
  await using api = await serve(eventRoutes(new EventBus(() => {})));
  assert.match(await api.request(get("/events?since=x")), /^HTTP\/1\.1 400 [^]*invalid value for 'since': /);
  assert.match(await api.request(get("/events?since=10&until=5")), /`since` time \(10\) cannot be after `until` time \(5\)/);
  assert.match(await api.request(get("/events?filters=x")), /"invalid filter"/);
});

test("a listener that does not read is cut off before it fills the memory", async () => {
  const bus = new EventBus(() => {});
  await using api = await serve(eventRoutes(bus));
  const lazy = api.open();
  lazy.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
  await lazy.until("\r\n\r\n");
  lazy.socket.pause();
  const large = event("start", { text: "x".repeat(100_000) });
  for (let count = 0; count < 200 && bus.listeners > 0; count++) {
    bus.emit(large);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until("no listener is left", () => bus.listeners === 0);
  lazy.socket.destroy();
});
