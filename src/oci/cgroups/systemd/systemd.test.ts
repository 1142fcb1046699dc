import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { annotatedProperties } from "./annotations.ts";
import { managerBus } from "./bus.ts";
import { FakeSystemd } from "./fake.testing.ts";
import { SystemdManager } from "./manager.ts";
import { resourceProperties } from "./properties.ts";
import { unitOf } from "./unit.ts";

test("cgroupsPath as slice:prefix:name", () => {
  assert.deepEqual(unitOf("system.slice:docker:1234", "x"), { name: "docker-1234.scope", slice: "system.slice", path: "/system.slice/docker-1234.scope" });
  assert.deepEqual(unitOf("test-a-b.slice:c:d", "x").path, "/test.slice/test-a.slice/test-a-b.slice/c-d.scope");
  assert.deepEqual(unitOf("-.slice:c:d", "x").path, "/c-d.scope");
  assert.deepEqual(unitOf(undefined, "id"), { name: "gantry-id.scope", slice: "system.slice", path: "/system.slice/gantry-id.scope" });
  assert.deepEqual(unitOf("a.slice::b.slice", "x"), { name: "b.slice", slice: "a.slice", path: "/a.slice/b.slice" });
  assert.deepEqual(unitOf(":c:d", "x", { user: true, managerGroup: "/user.slice/user@1.service" }), { name: "c-d.scope", slice: "user.slice", path: "/user.slice/user@1.service/user.slice/c-d.scope" });
  for (const bad of ["/a/b", "a:b", "a.slice:b:c:d", "a:b:c", "a--b.slice:c:d", "-a.slice:c:d", "a/b.slice:c:d", ".slice:c:d", "a.slice:c:d/e"]) assert.throws(() => unitOf(bad, "x"), { code: "invalid-parameter" }, bad);
});

const unlimited = 2n ** 64n - 1n;
const v2 = { cgroup: 2, systemd: 252, user: false } as const;

test("limits as properties, by the hierarchy's version and systemd's", () => {
  const limits = { memory: { limit: 100, swap: 150, reservation: 50 }, cpu: { shares: 1024, quota: 12_345, period: 100_000, cpus: "0-2,9" }, pids: { limit: 0 } };
  assert.deepEqual(Object.fromEntries(resourceProperties(limits, v2)), { MemoryMax: ["t", 100n], MemoryLow: ["t", 50n], MemorySwapMax: ["t", 50n], CPUWeight: ["t", 100n], CPUQuotaPeriodUSec: ["t", 100_000n], CPUQuotaPerSecUSec: ["t", 130_000n], TasksMax: ["t", 1n], AllowedCPUs: ["ay", [7, 2]] });
  assert.deepEqual(Object.fromEntries(resourceProperties(limits, { ...v2, cgroup: 1, systemd: 241 })), { MemoryLimit: ["t", 100n], CPUShares: ["t", 1024n], CPUQuotaPerSecUSec: ["t", 130_000n], TasksMax: ["t", 1n] });
  assert.deepEqual(resourceProperties({ memory: { limit: -1 }, pids: { limit: -1 }, cpu: { quota: -1 } }, v2), [["MemoryMax", ["t", unlimited]], ["MemorySwapMax", ["t", unlimited]], ["CPUQuotaPerSecUSec", ["t", unlimited]], ["TasksMax", ["t", unlimited]]]);
  assert.deepEqual(resourceProperties({ unified: { "memory.high": "max", "cpu.max": "5000 10000", "io.max": "8:0 rbps=1", "pids.max": "many" } }, v2), [["MemoryHigh", ["t", unlimited]], ["CPUQuotaPeriodUSec", ["t", 10_000n]], ["CPUQuotaPerSecUSec", ["t", 500_000n]]]);
  assert.deepEqual([252, 251].map((systemd) => resourceProperties({ cpu: { idle: 1, shares: 1024 } }, { ...v2, systemd })), [[["CPUWeight", ["t", 0n]]], []]);
  assert.throws(() => resourceProperties({ cpu: { cpus: "3-1" } }, v2), /not a list of numbers/);
});

test("device rules: lists of what is allowed, else systemd stays out of it", () => {
  const allowed = (devices: object[]): unknown => Object.fromEntries(resourceProperties({ devices: devices as never }, v2));
  const { DeviceAllow, DevicePolicy } = allowed([{ allow: false, access: "rwm" }, { allow: true, type: "b", major: 8, minor: 1, access: "r" }]) as Record<string, [string, unknown]>;
  assert.deepEqual([DevicePolicy, (DeviceAllow![1] as string[][]).slice(0, 4)], [["s", "strict"], [["/dev/block/8:1", "r"], ["char-*", "m"], ["block-*", "m"], ["/dev/char/1:3", "rwm"]]]);
  assert.ok((DeviceAllow![1] as string[][]).some(([name]) => name === "char-136"));
  assert.deepEqual(resourceProperties({ devices: [] }, { ...v2, user: true }), []);
  for (const open of [[{ allow: true, access: "rwm" }], [{ allow: false }, { allow: true, type: "c", major: 1, minor: 1 }, { allow: false, type: "c", major: 1 }]]) assert.deepEqual(allowed(open), { DeviceAllow: ["a(ss)", []], DevicePolicy: ["s", "auto"] });
});

test("annotations as properties, in GVariant's text form", () => {
  const property = (name: string, text: string): unknown => annotatedProperties({ [`org.systemd.property.${name}`]: text, other: "x" })[0];
  const good: [string, string, unknown][] = [
    ["CollectMode", "'inactive-or-failed'", ["CollectMode", ["s", "inactive-or-failed"]]],
    ["Description", String.raw`"a \"b\""`, ["Description", ["s", 'a "b"']]],
    ["TimeoutStopSec", "uint64 5", ["TimeoutStopUSec", ["t", 5_000_000n]]],
    ["TimeoutStopSec", "1.5", ["TimeoutStopUSec", ["t", 1_500_000n]]],
    ["TimeoutStopUSec", "uint64 123000000", ["TimeoutStopUSec", ["t", 123_000_000n]]],
    ["DefaultDependencies", "true", ["DefaultDependencies", ["b", true]]],
    ["OOMScoreAdjust", "-5", ["OOMScoreAdjust", ["i", -5]]],
    ["After", "['a.service', \"b.service\"]", ["After", ["as", ["a.service", "b.service"]]]],
    ["After", "@as []", ["After", ["as", []]]],
    ["Numbers", "[uint32 1, 2]", ["Numbers", ["au", [1, 2]]]],
    ["DeviceAllow", "[('/dev/null', 'rw'), ('char-pts', 'r')]", ["DeviceAllow", ["a(ss)", [["/dev/null", "rw"], ["char-pts", "r"]]]]],
  ];
  for (const [name, text, expected] of good) assert.deepEqual(property(name, text), expected);
  for (const [name, text] of [["ab", "1"], ["Not1", "1"], ["Name", "<1>"], ["Name", ""], ["Name", "1 2"], ["Name", "byte 256"], ["Name", "'x"], ["Name", "[]"], ["Name", "[1"], ["Name", "boolean 'x'"], ["TimeoutStopSec", "'x'"], ["After", "['a', 1]"], ["Name", "constructor"]])
    assert.throws(() => property(name!, text!), { code: "invalid-parameter" }, text);
});

test("which bus: what the environment names, else what is there", () => {
  const named = (uid: number, environment: Record<string, string>): unknown => managerBus({ uid, variable: (name) => environment[name] });
  assert.deepEqual(named(0, { DBUS_SYSTEM_BUS_ADDRESS: "tcp:host=x;unix:guid=1,path=/a%20b,x=y" }), { socket: "/a b", direct: false, user: false });
  assert.deepEqual(named(1000, { DBUS_SESSION_BUS_ADDRESS: "unix:abstract=/x", DBUS_SYSTEM_BUS_ADDRESS: "unix:path=/y" }), { socket: "\0/x", direct: false, user: true });
  assert.throws(() => named(0, { DBUS_SYSTEM_BUS_ADDRESS: "tcp:host=x" }), /not the address of a unix socket/);
});

async function withSystemd(use: (manager: SystemdManager, systemd: FakeSystemd) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "gantry-systemd-"));
  try {
    using systemd = await FakeSystemd.listen(join(folder, "bus"));
    using manager = await SystemdManager.open(systemd.bus, { mode: "v2" });
    await use(manager, systemd);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const unit = unitOf("a.slice:p:x", "x");
const started = { unit, id: "x", resources: { memory: { limit: 100 } }, more: annotatedProperties({ "org.systemd.property.Description": "'other'" }) };

test("a scope's life: made with a process, changed, stopped", async () => {
  await withSystemd(async (manager, systemd) => {
    const { release } = await manager.start(started);
    const { properties, pids } = systemd.units.get(unit.name)!;
    assert.deepEqual(["Slice", "Delegate", "DefaultDependencies", "Description", "MemoryMax", "IOAccounting", "DevicePolicy"].map((name) => properties[name]), ["a.slice", true, false, "other", 100n, true, "strict"]);
    assert.equal(process.kill(pids[0]!, 0), true);
    await release();
    assert.throws(() => process.kill(pids[0]!, 0), { code: "ESRCH" });
    await manager.update(unit.name, { memory: { limit: 200 } });
    assert.equal(properties["MemoryMax"], 200n);
    await manager.update(unit.name, { blockIO: { weight: 10 } });
    await manager.stop(unit.name);
    assert.equal(systemd.units.size, 0);
    await manager.stop(unit.name);
    assert.deepEqual(systemd.calls.filter((name) => !name.startsWith("Get")), ["AddMatch", "Subscribe", "StartTransientUnit", "SetUnitProperties", "StopUnit", "ResetFailedUnit", "StopUnit", "ResetFailedUnit"]);
  });
});

test("what is left of one that failed makes room; one that runs does not; a job that fails says so", async () => {
  await withSystemd(async (manager, systemd) => {
    systemd.addFailed(unit.name);
    await (await manager.start(started)).release();
    await assert.rejects(manager.start(started), /unable to start unit "p-x.scope": Unit p-x.scope was already loaded/);
    systemd.units.clear();
    systemd.jobResult = "failed";
    await assert.rejects(manager.start(started), /unable to start unit "p-x.scope": systemd's job ended as "failed"/);
    await assert.rejects(manager.start({ ...started, more: [["NoSuchProperty", ["s", "x"]]] }), /Cannot set property NoSuchProperty, or unknown property/);
    await assert.rejects(manager.update("p-y.scope", { memory: { limit: 1 } }), /unable to set properties of unit "p-y.scope": Unit p-y.scope not loaded/);
    systemd.jobResult = undefined;
    const waiting = manager.start(started);
    await systemd.asked("StartTransientUnit", 7);
    systemd.hangUp();
    await assert.rejects(waiting, /unable to start unit "p-x.scope": D-Bus/);
  });
});

test("a systemd that counts processes differently is refused", async () => {
  await withSystemd(async (_, systemd) => {
    systemd.callersPid = process.pid;
    (await SystemdManager.open(systemd.bus, { mode: "v2" }))[Symbol.dispose]();
    systemd.callersPid = 1;
    await assert.rejects(SystemdManager.open(systemd.bus, { mode: "v2" }), /process \d+ is 1 there: systemd is outside of this pid namespace/);
  });
});

test("nobody is there", async () => {
  await assert.rejects(SystemdManager.open({ socket: "/nonexistent/bus", direct: false, user: false }, { mode: "v2" }), /systemd does not answer at \/nonexistent\/bus: D-Bus: connect ENOENT/);
});
