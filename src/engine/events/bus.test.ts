import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { byEngine, onBehalfOf } from "../../core/caller.ts";
import type { EngineEvent } from "../../core/events.ts";
import { parseFilters } from "../../lib/filters.ts";
import { EventBus } from "./bus.ts";
import { matches } from "./filter.ts";
import { EventJournal } from "./journal.ts";
import type { RecordedEvent } from "./recorded.ts";

const event = (change: Partial<EngineEvent> & { attributes?: Record<string, string> } = {}): EngineEvent => ({
  type: "container",
  action: "start",
  ...change,
  actor: { id: "abc123", attributes: { image: "busybox:1", name: "web", l: "v", ...change.attributes } },
});
async function pastOf(bus: EventBus, since: bigint | undefined, until?: bigint): Promise<RecordedEvent[]> {
  const told: RecordedEvent[] = [];
  const subscription = bus.subscribe({ since, until, filters: parseFilters("") }, (one) => told.push(one));
  await subscription.begin();
  subscription.close();
  return told;
}

const everything = { since: undefined, until: undefined, filters: parseFilters("") };

test("listeners get what they asked for, in order, and nothing after they left", async () => {
  const bus = new EventBus(() => {});
  const seen: string[] = [];
  const subscription = bus.subscribe({ ...everything, filters: parseFilters('{"event":["start","die"]}') }, ({ event: { action } }) => seen.push(action));
  await subscription.begin();
  assert.deepEqual(seen, []);
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
  void bus.subscribe(everything, () => {
    throw new Error("broken");
  }).begin();
  void bus.subscribe(everything, () => heard++).begin();
  bus.emit(event());
  assert.equal(heard, 1);
  assert.match(warnings[0] ?? "", /broken/);
});

test("the past is told by time, at least the last 256 events, and is bounded", async () => {
  const bus = new EventBus(() => {});
  for (let at = 1n; at <= 5000n; at++) bus.emit({ ...event(), at });
  const past = (since: bigint | undefined, until: bigint | undefined): Promise<RecordedEvent[]> => pastOf(bus, since, until);
  const all = await past(0n, undefined);
  assert.ok(all.length >= 256 && all.length < 5000);
  assert.equal(all.at(-1)?.at, 5000n);
  assert.deepEqual((await past(4990n, 4992n)).map(({ at }) => at), [4990n, 4991n, 4992n]);
  assert.equal((await past(undefined, 4992n)).at(-1)?.at, 4992n);
  assert.deepEqual(await past(undefined, undefined), []);
});

test("times rise, also within a microsecond", () => {
  const bus = new EventBus(() => {});
  const times: bigint[] = [];
  void bus.subscribe(everything, ({ at }) => times.push(at)).begin();
  for (let count = 0; count < 1000; count++) bus.emit(event());
  assert.ok(times.every((at, index) => index === 0 || at > (times[index - 1] as bigint)));
});

test("lines have Docker's form, with the old fields for old clients", () => {
  const bus = new EventBus(() => {});
  const lines: RecordedEvent[] = [];
  void bus.subscribe(everything, (recorded) => lines.push(recorded)).begin();
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

function journalIn(folder: string, warnings: string[] = [], limits = { maxBytes: 1 << 20, maxAgeMilliseconds: 3_600_000 }): EventJournal {
  return new EventJournal({ folder, ...limits, warn: (message) => warnings.push(message) });
}

function temporary(): { folder: string; [Symbol.dispose](): void } {
  const folder = mkdtempSync(join(tmpdir(), "gantry-events-"));
  return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}

test("events outlive the bus, each is told once and in order, also when a line was cut off", async () => {
  using place = temporary();
  const first = new EventBus(() => {}, journalIn(place.folder));
  for (let at = 1n; at <= 2000n; at++) first.emit({ ...event(), at });
  // As if the process were killed: nothing is closed, and a line is not whole.
  const [name = ""] = readdirSync(place.folder);
  appendFileSync(join(place.folder, name), '{"type":"container","act');
  const second = new EventBus(() => {}, journalIn(place.folder));
  assert.deepEqual((await pastOf(second, 1999n)).map(({ at }) => at), [1999n, 2000n]);
  for (let at = 2001n; at <= 4000n; at++) second.emit({ ...event({ action: "die" }), at });
  const told = await pastOf(second, 0n);
  assert.deepEqual(told.map(({ at }) => at), Array.from({ length: 4000 }, (_, index) => BigInt(index + 1)));
  assert.deepEqual(told[0]?.event.actor, event().actor);
  assert.equal(String(told[0]?.json), String((await pastOf(first, 0n, 1n))[0]?.json));
});

test("an event that comes while the past is told is told after it, once", async () => {
  using place = temporary();
  const old = new EventBus(() => {}, journalIn(place.folder));
  for (let at = 1n; at <= 10n; at++) old.emit({ ...event(), at });
  const bus = new EventBus(() => {}, journalIn(place.folder));
  const told: bigint[] = [];
  const subscription = bus.subscribe({ ...everything, since: 5n }, ({ at }) => told.push(at));
  const begun = subscription.begin();
  bus.emit({ ...event(), at: 11n });
  await begun;
  bus.emit({ ...event(), at: 12n });
  assert.deepEqual(told, [5n, 6n, 7n, 8n, 9n, 10n, 11n, 12n]);
});

test("the journal keeps to its bytes and its age, the latest stay", async () => {
  using place = temporary();
  const limits = { maxBytes: 64 * 1024, maxAgeMilliseconds: 1000 };
  const bus = new EventBus(() => {}, journalIn(place.folder, [], limits));
  for (let at = 1n; at <= 5000n; at++) bus.emit({ ...event(), at });
  const bytes = (): number => readdirSync(place.folder).reduce((sum, name) => sum + statSync(join(place.folder, name)).size, 0);
  assert.ok(bytes() <= limits.maxBytes * 1.2 && bytes() > limits.maxBytes / 2, `${bytes()} bytes are kept`);
  const kept = await pastOf(new EventBus(() => {}, journalIn(place.folder, [], limits)), 0n);
  assert.equal(kept.at(-1)?.at, 5000n);
  for (const seconds of [10n, 20n]) for (let at = 0n; at < 100n; at++) bus.emit({ ...event(), at: seconds * 1_000_000_000n + at });
  assert.deepEqual((await pastOf(new EventBus(() => {}, journalIn(place.folder, [], limits)), 0n)).filter(({ at }) => at < 10_000_000_000n), [], "what is older than a second is kept");
});

test("a journal that cannot be written is told once and costs no listener its event", async () => {
  using place = temporary();
  const warnings: string[] = [];
  const bus = new EventBus(() => {}, journalIn(join(place.folder, "a-file"), warnings));
  appendFileSync(join(place.folder, "a-file"), "");
  const heard: string[] = [];
  await bus.subscribe(everything, ({ event: { action } }) => heard.push(action)).begin();
  for (const action of ["start", "die"]) bus.emit(event({ action }));
  assert.deepEqual(heard, ["start", "die"]);
  assert.equal(warnings.length, 1);
});

test("an event knows whose request it follows from, and tells only who asks for it", async () => {
  using place = temporary();
  const bus = new EventBus(() => {}, journalIn(place.folder));
  onBehalfOf(() => ({ pid: 42, uid: 7, program: "docker" }), () => {
    bus.emit(event());
    byEngine(() => bus.emit(event({ action: "die" })));
  });
  await new Promise<void>((resolve) => onBehalfOf(() => ({ address: "192.0.2.1:5" }), () => setImmediate(() => (bus.emit(event({ action: "stop" })), resolve()))));
  for (const source of [bus, new EventBus(() => {}, journalIn(place.folder))]) {
    const [start, die, stop] = await pastOf(source, 0n);
    assert.ok(!String(start?.json).includes("peer."));
    assert.match(String(start?.audited.json), /"peer.pid":"42","peer.program":"docker","peer.uid":"7"/);
    assert.ok(!String(die?.audited.json).includes("peer."));
    assert.match(String(stop?.audited.json), /"peer.address":"192.0.2.1:5"/);
  }
});
