/** Every controller of cgroup v2: limits, their changes, statistics, and what no interface file knows. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { OciResources } from "../../src/lib/oci-spec.ts";
import { detectLayout } from "../../src/oci/cgroups/layout.ts";
import { withEngine } from "../harness/engine.ts";
import { Bundle, processOf } from "../runtime/bundle.ts";

const fileOf = (bundle: Bundle) => (name: string): string => readFileSync(join("/sys/fs/cgroup", bundle.cgroupsPath, name), "utf8").trim();

const rootDisk = (() => {
  const [major = 0, minor = 0] = (/ (\d+):(\d+) \/ \/ /.exec(readFileSync("/proc/self/mountinfo", "utf8")) ?? []).slice(1).map(Number);
  return { major, minor };
})();

const asked: OciResources = {
  memory: { limit: 64 << 20, swap: 96 << 20, reservation: 32 << 20 },
  cpu: { shares: 2048, quota: 30_000, period: 50_000, cpus: "0", mems: "0" },
  pids: { limit: 55 },
  hugepageLimits: [{ pageSize: "2MB", limit: 4 << 20 }],
  blockIO: { throttleReadBpsDevice: [{ ...rootDisk, rate: 1 << 20 }] },
  unified: { "memory.high": "62914560", "cpu.max.burst": "1000" },
};

test("the machine has one hierarchy with every controller", () => {
  const { mode, hierarchies } = detectLayout();
  assert.equal(mode, "v2");
  for (const name of ["cpu", "cpuset", "hugetlb", "io", "memory", "pids", "rdma"]) assert.ok(hierarchies[0]!.controllers.includes(name), name);
});

test("create, update, stats and pause", () => {
  using bundle = new Bundle({ process: processOf(["sleep", "1000"]) }, { resources: asked });
  assert.deepEqual(bundle.runtime("run", "-d", bundle.id), { status: 0, stdout: "", stderr: "" });
  const file = fileOf(bundle);
  const limits = { "memory.max": 64 << 20, "memory.swap.max": 32 << 20, "memory.low": 32 << 20, "memory.high": 60 << 20, "cpu.max": "30000 50000", "cpu.max.burst": 1000, "cpuset.cpus": 0, "cpuset.mems": 0, "pids.max": 55, "hugetlb.2MB.max": 4 << 20 };
  for (const [name, value] of Object.entries(limits)) assert.equal(file(name), String(value), name);
  assert.match(file("io.max"), new RegExp(`^${rootDisk.major}:${rootDisk.minor} rbps=1048576 wbps=max`));
  assert.ok(Number(file("cpu.weight")) > 100);

  assert.equal(bundle.runtime("update", "--memory", "33554432", "--memory-swap", "33554432", "--cpu-quota", "20000", "--pids-limit", "44", bundle.id).stderr, "");
  for (const [name, value] of Object.entries({ "memory.max": 32 << 20, "memory.swap.max": 0, "cpu.max": "20000 50000", "pids.max": 44 })) assert.equal(file(name), String(value), name);

  const { data } = JSON.parse(bundle.runtime("events", "--stats", bundle.id).stdout) as { data: { memory: { usage: { usage: number; limit: number } }; pids: { current: number; limit: number }; cpu: { usage: { total: number } } } };
  assert.deepEqual([data.memory.usage.limit, data.pids.limit, data.pids.current], [32 << 20, 44, 1]);
  assert.ok(data.memory.usage.usage > 0 && data.cpu.usage.total > 0);

  assert.equal(bundle.runtime("pause", bundle.id).status, 0);
  assert.match(file("cgroup.events"), /frozen 1/);
  assert.equal(bundle.state().status, "paused");
  assert.equal(bundle.runtime("resume", bundle.id).status, 0);
  assert.equal(bundle.runtime("delete", "--force", bundle.id).status, 0);
  assert.deepEqual(bundle.groups(), []);
});

test("unified: what the kernel does not take, and what is no file of a group", () => {
  using bundle = new Bundle();
  for (const [name, value, message] of [
    ["memory.nothing", "1", /memory\.nothing/],
    ["pids.max", "many", /pids\.max/],
    ["../cgroup.procs", "1", /is not the name of a cgroup file/],
  ] as const) {
    bundle.configure({}, { resources: { unified: { [name]: value } } });
    const { status, stderr } = bundle.runtime("run", bundle.id);
    assert.equal(status, 1);
    assert.match(stderr, message);
  }
  assert.deepEqual(bundle.groups(), []);
});

test("device rules: programs of both kinds decide", () => {
  using bundle = new Bundle();
  const script = "for n in '1 3' '10 229' '10 237'; do mknod /tmp/n c $n 2>/dev/null; (exec 3</tmp/n) 2>/dev/null && r=yes || r=no; (exec 3>/tmp/n) 2>/dev/null && w=yes || w=no; echo $n $r $w; rm -f /tmp/n; done";
  const verdicts = (devices: NonNullable<OciResources["devices"]>): string[] => bundle.run(script, {}, { resources: { devices } }).trim().split("\n");
  const node = (minor: number, access: string, allow = true): object => ({ type: "c", major: 10, minor, access, allow });
  const making = { type: "c", access: "m", allow: true } as const;
  assert.deepEqual(verdicts([{ allow: false, access: "rwm" }, making] as never), ["1 3 yes yes", "10 229 no no", "10 237 no no"]);
  assert.deepEqual(verdicts([{ allow: false, access: "rwm" }, making, node(229, "rw"), node(237, "r")] as never), ["1 3 yes yes", "10 229 yes yes", "10 237 yes no"]);
  assert.deepEqual(verdicts([{ allow: true, access: "rwm" }, node(237, "rwm", false), node(229, "w", false)] as never), ["1 3 yes yes", "10 229 yes no", "10 237 no no"]);
});

test("devices come into a running container and go from it, also after the daemon's death", () =>
  withEngine(async (engine) => {
    const run = async (script: string): Promise<boolean> => {
      const { Id } = await engine.api.json("POST", "/containers/one/exec", { json: { Cmd: ["sh", "-c", script] } });
      await engine.api.json("POST", `/exec/${Id}/start`, { json: { Detach: true } });
      for (;;) {
        const { Running, ExitCode } = await engine.api.json("GET", `/exec/${Id}/json`);
        if (!Running) return ExitCode === 0;
      }
    };
    // By a node of its own, so that the rules alone decide.
    const opens = (): Promise<boolean> => run("exec 3<>/dev/own");
    const update = (change: object): Promise<unknown> => engine.api.json("POST", "/containers/one/update", { json: change });
    await engine.api.json("POST", "/containers/create?name=one", { json: { Image: "busybox", Cmd: ["sleep", "100000"], HostConfig: { NetworkMode: "none" } } });
    await engine.api.json("POST", "/containers/one/start");
    assert.equal(await run("mknod /dev/own c 10 237"), true);
    assert.equal(await opens(), false);
    await update({ DeviceAdd: [{ PathOnHost: "/dev/loop-control", PathInContainer: "/dev/loops", CgroupPermissions: "rw" }] });
    assert.equal(await opens(), true);
    assert.equal(await run("exec 3<>/dev/loops"), true);
    await engine.kill();
    await engine.start();
    assert.equal(await opens(), true);
    await update({ DeviceAdd: [{ PathOnHost: "/dev/kmsg", PathInContainer: "/dev/kmsg", CgroupPermissions: "w" }] });
    assert.equal(await run("exec 3>/dev/kmsg"), true);
    await update({ DeviceRemove: ["/dev/loops"] });
    assert.equal(await opens(), false);
    assert.equal(await run("exec 3>/dev/kmsg && exec 4<>/dev/null"), true, "what stays may still be used");
    await update({ DeviceRemove: ["/dev/kmsg"] });
    const { HostConfig } = await engine.api.json("GET", "/containers/one/json");
    assert.deepEqual(HostConfig.Devices ?? [], []);
    await engine.api.json("DELETE", "/containers/one?force=1");
  }));
