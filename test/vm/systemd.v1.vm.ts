/** --systemd-cgroup where systemd keeps its limits in cgroup v1. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { detectLayout } from "../../src/oci/cgroups/layout.ts";
import { Bundle, processOf } from "../runtime/bundle.ts";

function ok({ status, stdout, stderr }: { status: number | null; stdout: string; stderr: string }): string {
  assert.equal(status, 0, stderr);
  return stdout;
}

test("a container is a scope: limits, exec, update, reload, end", () => {
  assert.equal(detectLayout().mode, "hybrid");
  using bundle = new Bundle();
  const unit = `vm-${bundle.id}.scope`;
  const show = (...names: string[]): Record<string, string> => {
    const { stdout } = spawnSync("systemctl", ["show", unit, ...names.flatMap((name) => ["-p", name])], { encoding: "utf8" });
    return Object.fromEntries(stdout.trim().split("\n").map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));
  };
  const groups = (): string[] => detectLayout().hierarchies.map(({ mountpoint }) => join(mountpoint, "gvm.slice/gvm-one.slice", unit)).filter((path) => existsSync(path));
  const read = (file: string): string => readFileSync(join(groups().find((path) => existsSync(join(path, file)))!, file), "utf8").trim();
  bundle.configure({ process: processOf(["sleep", "1000"]) }, { cgroupsPath: `gvm-one.slice:vm:${bundle.id}`, resources: { memory: { limit: 64 << 20 }, cpu: { shares: 512, quota: 30_000, period: 50_000 }, pids: { limit: 55 }, devices: [{ allow: false, access: "rwm" }] } });
  ok(bundle.runtime("--systemd-cgroup", "run", "-d", bundle.id));
  const expected = { ActiveState: "active", Slice: "gvm-one.slice", Delegate: "yes", MemoryLimit: String(64 << 20), CPUShares: "512", CPUQuotaPerSecUSec: "600ms", TasksMax: "55", DevicePolicy: "strict" };
  assert.deepEqual(show(...Object.keys(expected)), expected);
  const { pid } = bundle.state();
  for (const group of groups()) assert.match(readFileSync(join(group, "cgroup.procs"), "utf8"), new RegExp(`^${pid}$`, "m"), group);
  assert.ok(groups().length > 8, groups().join(" "));

  ok(bundle.runtime("update", "--memory", "33554432", "--cpu-quota", "20000", "--pids-limit", "44", bundle.id));
  assert.deepEqual(show("MemoryLimit", "CPUQuotaPerSecUSec", "TasksMax"), { MemoryLimit: String(32 << 20), CPUQuotaPerSecUSec: "400ms", TasksMax: "44" });
  spawnSync("systemctl", ["daemon-reload"]);
  assert.deepEqual(["memory.limit_in_bytes", "cpu.shares", "cpu.cfs_quota_us", "pids.max"].map(read), [String(32 << 20), "512", "20000", "44"]);
  assert.equal(ok(bundle.runtime("exec", bundle.id, "sh", "-c", "echo x >/dev/null; mknod /tmp/kmsg c 1 11 && (exec 3</tmp/kmsg) 2>/dev/null || echo denied")), "denied\n");
  ok(bundle.runtime("delete", "--force", bundle.id));
  assert.deepEqual(groups(), []);
  assert.equal(show("LoadState")["LoadState"], "not-found");
});
