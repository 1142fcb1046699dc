/** The systemd cgroup driver before a systemd that only takes notes; test/vm/systemd.vm.ts has the real one. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FakeSystemd } from "../../src/oci/cgroups/systemd/fake.testing.ts";
import { withEngine } from "../harness/engine.ts";

test("containers are scopes: parents, limits, updates, restarts of the daemon, ends", { timeout: 300_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "gantry-systemd-"));
  using systemd = await FakeSystemd.listen(join(folder, "bus"));
  const options = { flags: ["--exec-opt", "native.cgroupdriver=systemd"], env: { DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${join(folder, "bus")}` } };
  const body = withEngine(async (engine) => {
    const { api } = engine;
    assert.equal((await api.json("GET", "/info")).CgroupDriver, "systemd");
    const refused = await api.send("POST", "/containers/create", { json: { Image: "busybox", HostConfig: { CgroupParent: "/elsewhere" } } });
    assert.deepEqual([refused.status, refused.body.toString()], [400, '{"message":"cgroup-parent for systemd cgroup should be a valid slice named as \\"xxx.slice\\""}\n']);

    const HostConfig = { Memory: 64 << 20, CpuQuota: 20_000, CpuPeriod: 100_000, PidsLimit: 1, NetworkMode: "none", CgroupParent: "one-two.slice", Annotations: { "org.systemd.property.TimeoutStopSec": "7" } };
    const { Id } = await api.json("POST", "/containers/create", { json: { Image: "busybox", Cmd: ["sleep", "1000"], HostConfig } });
    await api.json("POST", `/containers/${Id}/start`);
    const { properties } = systemd.units.get(`gantry-${Id}.scope`)!;
    assert.deepEqual(["Slice", "TimeoutStopUSec", "TasksMax", "CPUQuotaPerSecUSec"].map((name) => properties[name]), ["one-two.slice", 7_000_000n, 1n, 200_000n]);
    assert.equal((await api.json("GET", `/containers/${Id}/json`)).State.Status, "running");

    await engine.stop();
    await engine.start();
    await api.json("POST", `/containers/${Id}/update`, { json: { PidsLimit: 20, CpuQuota: 40_000 } });
    assert.deepEqual(["TasksMax", "CPUQuotaPerSecUSec"].map((name) => properties[name]), [20n, 400_000n]);
    const { pids_stats: counted } = await api.json("GET", `/containers/${Id}/stats`, { query: { stream: false } });
    assert.equal(counted.limit, 20);
    await api.json("DELETE", `/containers/${Id}`, { query: { force: true } });
    // The daemon tells of an end before it cleans up.
    await systemd.asked("ResetFailedUnit", 1);
    assert.equal(systemd.units.size, 0);

    const bad = await api.json("POST", "/containers/create", { json: { Image: "busybox", Cmd: ["/no/such"], HostConfig: { NetworkMode: "none" } } });
    assert.equal((await api.send("POST", `/containers/${bad.Id}/start`)).status, 400);
    assert.equal(systemd.units.size, 0);
    assert.equal(systemd.calls.filter((name) => name === "StartTransientUnit").length, 2);
    await api.json("DELETE", `/containers/${bad.Id}`);
    // Slices are systemd's to remove.
    engine.machine.run("sh", "-c", "rmdir /sys/fs/cgroup/*/one.slice/one-two.slice /sys/fs/cgroup/*/one.slice /sys/fs/cgroup/*/system.slice");
  }, options);
  await body.finally(() => rmSync(folder, { recursive: true }));
});
