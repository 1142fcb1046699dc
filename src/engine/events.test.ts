import assert from "node:assert/strict";
import { test } from "node:test";
import type { EngineEvent } from "../core/events.ts";
import { parseFilters } from "../lib/filters.ts";
import { EventBus, matches, type RecordedEvent } from "./events.ts";

const event = (change: Partial<EngineEvent> & { attributes?: Record<string, string> } = {}): EngineEvent => ({
  type: "container",
  action: "start",
  ...change,
  actor: { id: "abc123", attributes: { image: "busybox:1", name: "web", l: "v", ...change.attributes } },
});
const everything = { since: undefined, until: undefined, filters: parseFilters("") };

test("listeners get what they asked for, in order, and nothing after they left", () => {
  const bus = new EventBus(() => {});
  const seen: string[] = [];
  const subscription = bus.subscribe({ ...everything, filters: parseFilters('{"event":["start","die"]}') }, ({ event: { action } }) => seen.push(action));
  assert.deepEqual(subscription.past, []);
  for (const action of ["create", "start", "pause", "die"]) bus.emit(event({ action }));
  assert.equal(bus.listeners, 1);
  subscription.close();
  bus.emit(event());
  assert.deepEqual(seen, ["start", "die"]);
  assert.equal(bus.listeners, 0);
});

test("a listener that fails does not keep the others from listening", () => {
  const warnings: string[] = [];
  const bus = new EventBus((message) => warnings.push(message));
  let heard = 0;
  bus.subscribe(everything, () => {
    throw new Error("broken");
  });
  bus.subscribe(everything, () => heard++);
  bus.emit(event());
  assert.equal(heard, 1);
  assert.match(warnings[0] ?? "", /broken/);
});

test("the past is told by time, at least the last 256 events, and is bounded", () => {
  const bus = new EventBus(() => {});
  for (let at = 1n; at <= 5000n; at++) bus.emit({ ...event(), at });
  const past = (since: bigint | undefined, until: bigint | undefined): RecordedEvent[] => bus.subscribe({ since, until, filters: parseFilters("") }, () => {}).past;
  const all = past(0n, undefined);
  assert.ok(all.length >= 256 && all.length < 5000);
  assert.equal(all.at(-1)?.at, 5000n);
  assert.deepEqual(past(4990n, 4992n).map(({ at }) => at), [4990n, 4991n, 4992n]);
  assert.equal(past(undefined, 4992n).at(-1)?.at, 4992n);
  assert.deepEqual(past(undefined, undefined), []);
});

test("times rise, also within a microsecond", () => {
  const bus = new EventBus(() => {});
  const times: bigint[] = [];
  bus.subscribe(everything, ({ at }) => times.push(at));
  for (let count = 0; count < 1000; count++) bus.emit(event());
  assert.ok(times.every((at, index) => index === 0 || at > (times[index - 1] as bigint)));
});

test("lines have Docker's form, with the old fields for old clients", () => {
  const bus = new EventBus(() => {});
  const lines: RecordedEvent[] = [];
  bus.subscribe(everything, (recorded) => lines.push(recorded));
  bus.emit({ ...event({ attributes: { a: "1" } }), at: 1_700_000_000_123_456_789n });
  const [line] = lines;
  assert.equal(line?.json.toString(), '{"Type":"container","Action":"start","Actor":{"ID":"abc123","Attributes":{"a":"1","image":"busybox:1","l":"v","name":"web"}},"scope":"local","time":1700000000,"timeNano":1700000000123456789}\n');
  assert.deepEqual(Object.entries(JSON.parse(line?.legacyJson.toString() ?? "")).slice(-3), [["status", "start"], ["id", "abc123"], ["from", "busybox:1"]]);
  assert.equal(line?.json, line?.json, "made once");
});

test("filters match as Docker's do", () => {
  const cases: [filters: object, change: Parameters<typeof event>[0], expected: boolean][] = [
    [{ type: ["container"] }, {}, true],
    [{ type: ["image", "volume"] }, {}, false],
    [{ container: ["abc"] }, {}, true],
    [{ container: ["we"] }, {}, true],
    [{ container: ["bc1"] }, {}, false],
    [{ event: ["exec_create"] }, { action: "exec_create: sh" }, true],
    [{ event: ["exec_die"] }, { action: "exec_die: sh" }, false],
    [{ image: ["busybox"] }, {}, true],
    [{ image: ["busybox:1"] }, {}, true],
    [{ image: ["busybox:2"] }, {}, false],
    [{ image: ["web"] }, { type: "image" }, true],
    [{ label: ["l=v", "name"] }, {}, true],
    [{ label: ["l=w"] }, {}, false],
    [{ scope: ["local"] }, {}, true],
    [{ scope: ["swarm"] }, {}, false],
    [{ nosuch: ["x"] }, {}, true],
    [{ type: [] }, {}, true],
  ];
  for (const [filters, change, expected] of cases) assert.equal(matches(event(change), parseFilters(JSON.stringify(filters))), expected, JSON.stringify(filters));
});
