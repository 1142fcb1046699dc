import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { ContainerRecord } from "../../core/container.ts";
import { parseFilters } from "../../lib/filters.ts";
import { createContainer } from "./create.ts";
import { inspectContainer } from "./inspect.ts";
import { ContainerLists } from "./list.ts";
import { fakeContext, imageOf, request, running } from "./testing/context.ts";
import type { FakeContext } from "./testing/context.ts";
import { statusHolds, statusText } from "./view/state.ts";

async function three(): Promise<{ context: FakeContext; lists: ContainerLists; records: ContainerRecord[] }> {
  const context = fakeContext();
  const records: ContainerRecord[] = [];
  for (const name of ["one", "two", "three"]) {
    const { id } = await createContainer(context, { ...request({ Cmd: ["sh", "-c", "a b"], Labels: { name, all: "" }, ExposedPorts: { "80/tcp": {} } }), name });
    records.push(context.store.find(id));
  }
  return { context, lists: new ContainerLists(context), records };
}
const list = async (lists: ContainerLists, filters: object | undefined, more: { all?: boolean; limit?: number; version?: number; size?: boolean } = {}): Promise<Record<string, unknown>[]> =>
  JSON.parse(String(await lists.list({ all: true, size: false, limit: 0, filters: parseFilters(filters && JSON.stringify(filters)), version: 56, ...more })));
const names = async (...args: Parameters<typeof list>): Promise<unknown[]> => (await list(...args)).map((row) => (row["Names"] as string[])[0]);

test("a list is youngest first, and shows changes at once", async () => {
  const { context, lists, records } = await three();
  assert.deepEqual(await names(lists, undefined), ["/three", "/two", "/one"]);
  assert.deepEqual(await names(lists, undefined, { all: false }), []);
  assert.equal((await list(lists, undefined))[0]?.["Status"], "Created");
  const [one] = records as [ContainerRecord, ...ContainerRecord[]];
  context.store.save(running(one, BigInt(Date.now()) * 1_000_000n - 150_000_000_000n));
  const [row] = await list(lists, undefined, { all: false });
  assert.deepEqual([row?.["State"], row?.["Status"], row?.["Command"], row?.["Image"]], ["running", "Up 2 minutes", "sh -c 'a b'", "image"]);
  context.store.rename(one, "renamed");
  assert.deepEqual(await names(lists, undefined, { limit: 1 }), ["/three"]);
  assert.deepEqual(await names(lists, { name: ["^/ren"] }), ["/renamed"]);
  context.store.remove(one);
  assert.deepEqual(await names(lists, undefined), ["/three", "/two"]);
  await createContainer(context, { ...request(), name: "four" });
  assert.deepEqual(await names(lists, undefined), ["/four", "/three", "/two"]);
});

test("links of the default bridge are names of the linked container, as long as they are there", async () => {
  const { context, lists } = await three();
  const asked = request();
  await createContainer(context, { ...asked, name: "app", hostConfig: { ...asked.hostConfig, NetworkMode: "bridge", Links: ["one:/db"] } });
  const shown = async (): Promise<unknown> => (await list(lists, undefined)).at(-1)?.["Names"];
  assert.deepEqual(await shown(), ["/one", "/app/db"]);
  assert.equal(context.store.find("app/db").name, "one");
  assert.throws(() => context.store.find("app/nosuch"), /No such container: app\/nosuch/);
  context.store.rename(context.store.find("app"), "program");
  assert.deepEqual([await shown(), context.store.find("/program/db").name], [["/one", "/program/db"], "one"]);
  context.store.remove(context.store.find("program"));
  assert.deepEqual(await shown(), ["/one"]);
});

test("an image's name shows as long as it means the container's image", async () => {
  const { context, lists } = await three();
  assert.equal((await list(lists, undefined))[0]?.["Image"], "image");
  context.images.known.set("image", imageOf("2", {}));
  assert.equal((await list(lists, undefined))[0]?.["Image"], `sha256:${"1".repeat(64)}`);
});

test("filters", async () => {
  const { context, lists, records } = await three();
  const [one, two, last] = records as [ContainerRecord, ContainerRecord, ContainerRecord];
  context.store.save(running(two, 1n));
  one.state = { status: "exited", exitCode: 3, oomKilled: false, error: "", startedAt: 1n, finishedAt: 2n };
  context.store.save(one);
  for (const [filters, expected] of [
    [{ status: ["running", "exited"] }, ["/two", "/one"]],
    [{ exited: ["3"] }, ["/one"]],
    [{ label: ["name=two", "all"] }, ["/two"]],
    [{ id: [one.id.slice(0, 20)] }, ["/one"]],
    [{ id: ["zz"] }, []],
    [{ before: ["three"] }, ["/two", "/one"]],
    [{ since: [one.id] }, ["/three", "/two"]],
    [{ ancestor: ["image"] }, ["/three", "/two", "/one"]],
    [{ ancestor: ["none"] }, []],
    [{ network: ["bridge"] }, ["/three", "/two", "/one"]],
    [{ network: ["bbbb"] }, ["/two", "/one"]],
    [{ health: ["none"] }, ["/three", "/two", "/one"]],
    [{ "is-task": ["true"] }, []],
    [{ name: ["["] }, []],
    [{ isolation: ["default"], name: ["t"] }, ["/three", "/two"]],
  ] as const) {
    assert.deepEqual(await names(lists, filters), expected, JSON.stringify(filters));
  }
  assert.deepEqual(await names(lists, { status: ["created"] }, { all: false }), ["/three"]);
  assert.deepEqual(await names(lists, { label: ["all"] }, { all: false, limit: 2 }), ["/three", "/two"]);
  last.network = { sandboxId: "s", endpoints: [{ networkName: "bridge", networkId: "b".repeat(64), endpointId: "e", ipAddress: "172.17.0.2", prefixLength: 16, gateway: "172.17.0.1", ipv6Address: "", ipv6PrefixLength: 0, ipv6Gateway: "", macAddress: "02:42:ac:11:00:02" }] };
  context.store.save(last);
  assert.deepEqual(await names(lists, { expose: ["70-90"] }), ["/three"]);
  assert.deepEqual(await names(lists, { expose: ["80/udp"] }), []);
});

test("malformed filters are refused in Docker's words", async () => {
  const { lists } = await three();
  for (const [filters, code, message] of [
    [{ nosuch: ["x"] }, "invalid-parameter", "invalid filter 'nosuch'"],
    [{ exited: ["x"] }, "invalid-parameter", "invalid filter 'exited=x': strconv.Atoi: parsing \"x\": invalid syntax"],
    [{ status: ["x"] }, "invalid-parameter", "invalid filter 'status=x': invalid value for state (x): must be one of created, running, paused, restarting, removing, exited, dead"],
    [{ "is-task": ["x"] }, "invalid-parameter", "invalid filter 'is-task=[x]'"],
    [{ before: ["x"] }, "not-found", "No such container: x"],
    [{ publish: ["x"] }, "system", "error while looking up for publish x: invalid start port 'x': invalid syntax"],
    [{ expose: ["9-1"] }, "system", "error while looking up for expose 9-1: invalid port range: 9-1"],
  ] as const) {
    await assert.rejects(list(lists, filters), { code, message });
  }
});

test("rows have the shape of the API version", async () => {
  const { context, lists, records } = await three();
  records[2]!.hostConfig.Annotations = { a: "b" };
  context.store.save(records[2]!);
  const shape = async (version: number) => {
    const [row] = (await list(lists, undefined, { version })) as [Record<string, unknown>];
    return [Object.hasOwn(row["HostConfig"] as object, "Annotations"), Object.hasOwn(row, "ImageManifestDescriptor"), Object.hasOwn(row, "Health")];
  };
  assert.deepEqual(await Promise.all([45, 46, 48, 52].map(shape)), [[false, false, false], [true, false, false], [true, true, false], [true, true, true]]);
  const [sized] = await list(lists, undefined, { size: true });
  assert.deepEqual([sized?.["SizeRw"], sized?.["SizeRootFs"]], [10, 1010]);
});

test("the bytes of an answer are kept while nothing changes, a list's words included", async () => {
  const { context, lists, records } = await three();
  const bytes = (all = true) => lists.list({ all, size: false, limit: 0, filters: parseFilters(undefined), version: 56 });
  const first = await bytes();
  assert.equal(await bytes(), first);
  assert.notEqual(await bytes(false), first);
  context.store.save(running(records[0]!, BigInt(Date.now()) * 1_000_000n - 800_000_000n));
  const words = async (): Promise<string | undefined> => /Up [^"]*|Less than a second/.exec(String(await bytes()))?.[0];
  const before = await words();
  assert.ok(before);
  while ((await words()) === before) await delay(20);
});

test("how long the words of a state hold", async () => {
  const { records } = await three();
  const now = 10n ** 19n;
  assert.equal(statusHolds(records[0]!, now), Infinity);
  for (const exited of [false, true]) {
    for (const age of [0, 999, 1000, 59_999, 60_000, 61_500, 119_000, 3_599_000, 3_600_000, 5_399_999, 5_400_000, 48 * 3_600_000 - 1, 15 * 86_400_000, 3 * 365 * 86_400_000]) {
      const since = now - BigInt(age) * 1_000_000n;
      const record: ContainerRecord = exited ? { ...records[0]!, state: { status: "exited", exitCode: 0, oomKilled: false, error: "", startedAt: 1n, finishedAt: since } } : running(records[0]!, since);
      const holds = statusHolds(record, now);
      assert.ok(holds > 0 && holds <= 1_800_000, String(holds));
      assert.equal(statusText(record, now + BigInt(holds - 1) * 1_000_000n), statusText(record, now), `${age} ms`);
    }
  }
});

test("the words of a state", async () => {
  const { records } = await three();
  const second = 1_000_000_000n;
  const text = (state: ContainerRecord["state"]) => statusText({ ...records[0]!, state }, 1000n * second);
  const ended = { exitCode: 2, oomKilled: false, error: "", startedAt: 1n, finishedAt: 880n * second };
  assert.equal(text({ status: "paused", pid: 1, startedAt: 999n * second }), "Up 1 second (Paused)");
  assert.equal(text({ status: "exited", ...ended }), "Exited (2) 2 minutes ago");
  assert.equal(text({ status: "restarting", ...ended }), "Restarting (2) 2 minutes ago");
  assert.equal(text({ status: "removing" }), "Removal In Progress");
  assert.equal(text({ status: "dead" }), "Dead");
  const health = { status: "starting" as const, failingStreak: 0, log: [] };
  assert.equal(statusText({ ...running(records[0]!, 0n), health }, 3600n * second), "Up About an hour (health: starting)");
});

test("inspect has the shape of the API version", async () => {
  const { context, records } = await three();
  const [one] = records as [ContainerRecord, ...ContainerRecord[]];
  one.networkingConfig.EndpointsConfig = { bridge: { ...emptyEndpoint(), MacAddress: "02:42:00:00:00:05" } };
  const inspect = async (version: number) => JSON.parse(await inspectContainer(context, "one", { size: false, version })) as Record<string, Record<string, unknown>>;
  const old = await inspect(43);
  const current = await inspect(56);
  assert.deepEqual([old["Config"]?.["MacAddress"], current["Config"]?.["MacAddress"]], ["02:42:00:00:00:05", undefined]);
  assert.deepEqual([Object.hasOwn(old, "GraphDriver"), Object.hasOwn(old, "Storage"), Object.hasOwn(old, "ImageManifestDescriptor")], [true, false, false]);
  assert.deepEqual([Object.hasOwn(current, "GraphDriver"), Object.hasOwn(current, "Storage"), Object.hasOwn(current, "ImageManifestDescriptor")], [false, true, true]);
  assert.equal(Object.hasOwn(old["NetworkSettings"] ?? {}, "Gateway"), true);
  assert.equal(Object.hasOwn(current["NetworkSettings"] ?? {}, "Gateway"), false);
  assert.deepEqual([current["Path"], current["Args"]], ["sh", ["-c", "a b"]]);
  assert.equal(current["State"]?.["StartedAt"], "0001-01-01T00:00:00Z");
  await assert.rejects(inspectContainer(context, "none", { size: false, version: 56 }), { code: "not-found" });
});

const emptyEndpoint = () => ({
  IPAMConfig: null, Links: null, Aliases: null, DriverOpts: null, GwPriority: 0, NetworkID: "", EndpointID: "", Gateway: "", IPAddress: "", MacAddress: "", IPPrefixLen: 0, IPv6Gateway: "", GlobalIPv6Address: "", GlobalIPv6PrefixLen: 0, DNSNames: null,
});
