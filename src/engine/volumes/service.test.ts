import assert from "node:assert/strict";
import { test } from "node:test";
import type { EngineEvent } from "../../core/events.ts";
import { parseFilters } from "../../lib/filters.ts";
import { openDatabase } from "../../sys/database.ts";
import { fakeVolumeDriver } from "../containers/testing/context.ts";
import { pruneVolumes } from "./prune.ts";
import { VolumeService } from "./service.ts";
import type { VolumeRequest } from "./service.ts";
import { volumeMigrations } from "./store.ts";

function open(database = openDatabase(":memory:", volumeMigrations), driver = fakeVolumeDriver()) {
  const events: EngineEvent[] = [];
  const warnings: string[] = [];
  const sink = { events: { emit: (event: EngineEvent) => void events.push(event) }, warn: (message: string) => void warnings.push(message) };
  const volumes = new VolumeService({ database, drivers: [driver], ...sink });
  const create = async (name: string, request: Partial<VolumeRequest> = {}, maker?: string) => (await volumes.create({ name, driver: "", labels: null, options: null, ...request }, maker)).volume;
  return {
    volumes,
    driver,
    create,
    warnings,
    told: () => events.map(({ action, actor }) => [action, actor.id, actor.attributes]),
    /** The next daemon with the same state. */
    next: () => open(database, driver),
    list: async (filters: object) => (await volumes.list(parseFilters(JSON.stringify(filters)))).volumes.map(({ Name }) => Name),
    prune: (filters: object, all = false) => pruneVolumes(volumes, { filters: parseFilters(JSON.stringify(filters)), all, signal: AbortSignal.timeout(120_000) }, sink),
  };
}

test("create gives what is there already, whatever else is asked for", async () => {
  const { create, volumes, told } = open();
  const first = await create("data", { labels: { b: "2", a: "1" }, options: {} });
  assert.deepEqual({ ...first, CreatedAt: "" }, { CreatedAt: "", Driver: "local", Labels: { a: "1", b: "2" }, Mountpoint: "/volumes/data", Name: "data", Options: {}, Scope: "local" });
  assert.match(first.CreatedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.deepEqual(await create("data", { labels: { c: "3" }, options: { type: "tmpfs" } }), first);
  assert.deepEqual(await volumes.inspect("data"), first);
  const anonymous = await create("", { labels: { x: "y" } });
  assert.match(anonymous.Name, /^[0-9a-f]{64}$/);
  assert.deepEqual([anonymous.Labels, anonymous.Options], [{ "com.docker.volume.anonymous": "", x: "y" }, null]);
  assert.deepEqual(told(), [["create", "data", { driver: "local" }], ["create", anonymous.Name, { driver: "local" }]]);
});

test("refusals in Docker's words", async () => {
  const { create, volumes } = open();
  await assert.rejects(create("data", { driver: "nosuch" }), { code: "not-found", message: 'create data: error looking up volume plugin nosuch: plugin "nosuch" not found' });
  await assert.rejects(create("a b"), { code: "invalid-parameter", message: "create a b: a b is no name" });
  await assert.rejects(volumes.inspect("none"), { code: "not-found", message: "get none: no such volume" });
  await assert.rejects(volumes.remove("none"), { code: "not-found", message: "get none: no such volume" });
  await volumes.remove("none", { force: true });
  await assert.rejects(volumes.mount("none", "one"), { code: "not-found" });
  await assert.rejects(volumes.list(parseFilters('{"nosuch":["x"]}')), { message: "invalid filter 'nosuch'" });
  await assert.rejects(volumes.list(parseFilters('{"dangling":["x"]}')), { message: "invalid filter 'dangling=[x]'" });
});

test("a volume that containers have is not removed, not even by force", async () => {
  const { create, volumes, told } = open();
  await create("data", {}, "c1");
  volumes.hold("data", "c2");
  for (const force of [false, true]) await assert.rejects(volumes.remove("data", { force }), { code: "conflict", message: "remove data: volume is in use - [c1, c2]" });
  volumes.release("data", "c1");
  volumes.release("data", "c2");
  volumes.release("data", "c2");
  await volumes.remove("data");
  assert.deepEqual(told().at(-1), ["destroy", "data", { driver: "local" }]);
});

test("what a driver cannot remove is forgotten by force", async () => {
  const { create, volumes, driver } = open();
  await create("data");
  driver.remove = async () => {
    throw new Error("busy");
  };
  await assert.rejects(volumes.remove("data"), { message: "remove data: busy" });
  await volumes.inspect("data");
  await assert.rejects(volumes.remove("data", { force: true }), { message: "remove data: busy" });
  await assert.rejects(volumes.inspect("data"), { code: "not-found" });
});

test("a failed creation leaves nothing; one whose data vanished is made again unless it is used", async () => {
  const { create, volumes, driver } = open();
  const { create: make } = driver;
  driver.create = async () => {
    throw new Error("no space left on device");
  };
  await assert.rejects(create("data"), { message: "create data: no space left on device" });
  driver.create = make;
  await create("data", { labels: { old: "" } });
  await driver.remove({ name: "data", options: {} });
  volumes.hold("data", "c1");
  await assert.rejects(create("data"), /^GantryError: create data: found references to volume 'data' in driver 'local' but the volume was not found/);
  volumes.release("data", "c1");
  assert.equal((await create("data")).Labels, null);
});

test("lists by driver, name, label and use", async () => {
  const { create, volumes, list } = open();
  await create("one", { labels: { a: "b" } });
  await create("two");
  await create("three");
  volumes.hold("two", "c1");
  assert.deepEqual(await list({}), ["one", "two", "three"]);
  assert.deepEqual([await list({ name: ["t"] }), await list({ name: ["^t.o$"] }), await list({ label: ["a"] }), await list({ label: ["a=c"] })], [["two", "three"], ["two"], ["one"], []]);
  assert.deepEqual([await list({ dangling: ["true"] }), await list({ dangling: ["0"] }), await list({ driver: ["other"] }), await list({ driver: ["local"], name: ["one"] })], [["one", "three"], ["two"], [], ["one"]]);
});

test("prune: anonymous ones only, unless all are meant; never what is used or has options", async () => {
  const { create, volumes, prune, told } = open();
  const anonymous = (await create("")).Name;
  for (const [name, request] of [["named", { labels: { keep: "1" } }], ["used", {}], ["optional", { options: { type: "tmpfs" } }], ["other", {}]] as const) await create(name, request);
  volumes.hold("used", "c1");
  assert.deepEqual(await prune({ label: ["none"] }), { deleted: [], reclaimedBytes: 0 });
  assert.deepEqual(await prune({}), { deleted: [anonymous], reclaimedBytes: 7 });
  assert.deepEqual(await prune({ all: ["1"], "label!": ["keep"] }), { deleted: ["other"], reclaimedBytes: 7 });
  assert.deepEqual(await prune({}, true), { deleted: ["named"], reclaimedBytes: 7 });
  assert.deepEqual(told().at(-1), ["prune", "", { reclaimed: "7" }]);
  for (const [filters, message] of [
    [{ nosuch: ["1"] }, "invalid filter 'nosuch'"],
    [{ all: ["x"] }, `invalid filter 'all': strconv.ParseBool: parsing "x": invalid syntax`],
    [{ all: ["1", "0"] }, "invalid filter 'all=[1 0]': only one value is expected"],
  ] as const) {
    await assert.rejects(prune(filters), { code: "invalid-parameter", message });
  }
  await create("");
  const running = prune({});
  await assert.rejects(prune({}), { code: "conflict", message: "a prune operation is already running" });
  await running;
});

test("sizes: of plain volumes, unknown ones as -1", async () => {
  const { create, volumes, driver } = open();
  await create("data");
  await create("fast", { options: { type: "tmpfs" } });
  volumes.hold("data", "c1");
  assert.deepEqual((await volumes.sized()).map(({ Name, UsageData }) => [Name, UsageData]), [["data", { RefCount: 1, Size: 7 }]]);
  driver.usage = async () => {
    throw new Error("gone");
  };
  assert.deepEqual((await volumes.sized())[0]?.UsageData, { RefCount: 1, Size: -1 });
});

test("the next daemon has the same volumes, without those of containers that were never made", async () => {
  const before = open();
  await before.create("kept", { labels: { a: "b" }, options: { type: "tmpfs" } });
  await before.create("of-made", {}, "made");
  await before.create("of-lost", {}, "lost");
  await before.create("shared-with-lost", {}, "lost");
  await before.create("half-removed");
  await before.driver.remove({ name: "half-removed", options: {} });
  await before.driver.create({ name: "foreign", options: {} });
  const { volumes, list, next } = before.next();
  volumes.hold("shared-with-lost", "other");
  await volumes.recover((id) => id === "made");
  assert.deepEqual((await list({})).sort(), ["foreign", "kept", "of-made", "shared-with-lost"]);
  assert.deepEqual([(await volumes.inspect("kept")).Labels, (await volumes.inspect("kept")).Options], [{ a: "b" }, { type: "tmpfs" }]);
  const third = next();
  await third.volumes.recover(() => false);
  assert.deepEqual((await third.list({})).sort(), ["foreign", "kept", "of-made"], "what was settled stays");
});

test("two that create and remove the same volume at once do not get in each other's way", async () => {
  const { create, volumes, driver } = open();
  await Promise.all([create("data"), create("data"), volumes.remove("data").catch(() => {}), create("data")]);
  assert.equal(await driver.has("data"), true);
  assert.equal((await volumes.inspect("data")).Name, "data");
});
