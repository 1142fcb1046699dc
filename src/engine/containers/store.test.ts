import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { emptyConfig, emptyHostConfig } from "../../core/container-config.ts";
import type { ContainerRecord } from "../../core/container.ts";
import { openDatabase } from "../../sys/database.ts";
import { containerMigrations, ContainerStore } from "./store.ts";
import { createdRecord } from "./testing/record.ts";

const folder = mkdtempSync(join(tmpdir(), "gantry-store-"));
after(() => rmSync(folder, { recursive: true }));

function record(id: string, name: string): ContainerRecord {
  return createdRecord({
    id,
    name,
    createdAt: 1700000000123456789n,
    imageId: "sha256:1",
    imageRef: "image",
    config: { ...emptyConfig(), Labels: JSON.parse('{"__proto__":"x"}') },
    hostConfig: emptyHostConfig(),
  });
}
const failsWith = (code: string, message: string) => ({ name: "GantryError", code, message });
const databases = new Map<string, DatabaseSync>();

/** The one before of that name is over. */
function store(name: string): ContainerStore {
  databases.get(name)?.close();
  const database = openDatabase(join(folder, name), containerMigrations);
  databases.set(name, database);
  return new ContainerStore(database);
}

test("records survive a restart, with exact times and every key", () => {
  const first = record("aa11", "one");
  first.state = { status: "running", pid: 7, startedAt: 1700000000123456790n, previous: { exitCode: 3, oomKilled: false, error: "", startedAt: 5n, finishedAt: 6n } };
  store("restart").add(first);
  const found = store("restart").find("one");
  assert.deepEqual(found, first);
  assert.ok(Object.hasOwn(found.config.Labels ?? {}, "__proto__"));
});

test("find takes ids, names and unambiguous beginnings", () => {
  const containers = store("find");
  containers.add(record("aa11", "one"));
  containers.add(record("aa22", "aa1"));
  assert.equal(containers.find("aa11").name, "one");
  assert.equal(containers.find("/one").id, "aa11");
  assert.equal(containers.find("aa2").id, "aa22");
  assert.equal(containers.find("aa1").id, "aa22", "a name wins over a prefix");
  assert.throws(() => containers.find("aa"), failsWith("invalid-parameter", "multiple IDs found with provided prefix: aa"));
  assert.throws(() => containers.find("b"), failsWith("not-found", "No such container: b"));
  assert.throws(() => containers.find(""), failsWith("invalid-parameter", 'invalid name or ID supplied: ""'));
});

test("names are unique, also after a rename and a removal", () => {
  const containers = store("names");
  const one = record("aa11", "one");
  containers.add(one);
  const taken = 'Conflict. The container name "/one" is already in use by container "aa11". You have to remove (or rename) that container to be able to reuse that name.';
  assert.throws(() => containers.add(record("bb22", "one")), failsWith("conflict", taken));
  assert.equal(containers.get("bb22"), undefined);
  containers.rename(one, "two");
  containers.add(record("bb22", "one"));
  assert.throws(() => containers.rename(one, "one"), failsWith("conflict", taken.replace("aa11", "bb22")));
  containers.remove(one);
  containers.save(one);
  assert.equal(store("names").size, 1);
});

test("changes are told, work on one container is in order, also after a failure", async () => {
  const containers = store("order");
  const seen: (string | undefined)[] = [];
  const stop = containers.onChange((_, changed) => seen.push(changed?.name));
  const one = record("aa11", "one");
  containers.add(one);
  containers.rename(one, "two");
  containers.remove(one);
  stop();
  containers.add(one);
  assert.deepEqual(seen, ["one", "two", undefined]);

  const order: string[] = [];
  const slow = containers.withContainer("x", async () => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    order.push("slow");
    throw new Error("slow failed");
  });
  const fast = containers.withContainer("x", () => order.push("fast"));
  const other = containers.withContainer("y", () => order.push("other"));
  await assert.rejects(slow, /slow failed/);
  await Promise.all([fast, other]);
  assert.deepEqual(order, ["other", "slow", "fast"]);
});
