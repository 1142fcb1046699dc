/** --systemd-cgroup: containers are scopes of a systemd that runs the machine. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { OciResources } from "../../src/lib/oci-spec.ts";
import { exampleSpec, rootless } from "../../src/oci/cli/spec.ts";
import { Bundle, processOf } from "../runtime/bundle.ts";
import { withDaemon } from "./daemon.ts";

const show = (unit: string, ...names: string[]): Record<string, string> => {
  const { stdout } = spawnSync("systemctl", ["show", unit, ...names.flatMap((name) => ["-p", name])], { encoding: "utf8" });
  return Object.fromEntries(stdout.trim().split("\n").map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));
};

const resources: OciResources = { memory: { limit: 64 << 20, swap: 96 << 20, reservation: 32 << 20 }, cpu: { shares: 2048, quota: 30_000, period: 50_000, cpus: "0-1" }, pids: { limit: 55 }, unified: { "memory.high": "62914560" }, devices: [{ allow: false, access: "rwm" }] };

function ok({ status, stdout, stderr }: { status: number | null; stdout: string; stderr: string }): string {
  assert.equal(status, 0, stderr);
  return stdout;
}

async function untilGone(unit: string): Promise<void> {
  for (let tries = 0; show(unit, "LoadState")["LoadState"] !== "not-found"; tries++) {
    assert.ok(tries < 600, `${unit} does not go`);
    await sleep(50);
  }
}

test("a container is a scope in its slice: limits, exec, update, reload, end", async () => {
  using bundle = new Bundle();
  const unit = `vm-${bundle.id}.scope`;
  const group = `/sys/fs/cgroup/gvm.slice/gvm-one.slice/${unit}`;
  const read = (file: string): string => readFileSync(join(group, file), "utf8").trim();
  const annotations = { "org.systemd.property.TimeoutStopSec": "uint64 7", "org.systemd.property.Description": "'a container under test'" };
  bundle.configure({ process: processOf(["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]), annotations }, { cgroupsPath: `gvm-one.slice:vm:${bundle.id}`, resources });
  ok(bundle.runtime("--systemd-cgroup", "run", "-d", bundle.id));
  const expected = { ActiveState: "active", Slice: "gvm-one.slice", Delegate: "yes", Description: "a container under test", TimeoutStopUSec: "7s", MemoryMax: String(64 << 20), MemoryLow: String(32 << 20), MemoryHigh: String(60 << 20), MemorySwapMax: String(32 << 20), CPUQuotaPerSecUSec: "600ms", CPUQuotaPeriodUSec: "50ms", TasksMax: "55", AllowedCPUs: "0-1", DevicePolicy: "strict" };
  assert.deepEqual(show(unit, ...Object.keys(expected)), expected);
  assert.deepEqual([read("memory.max"), read("pids.max"), read("cpu.max"), read("memory.high")], [String(64 << 20), "55", "30000 50000", String(60 << 20)]);
  assert.equal(read("cgroup.procs").split("\n")[0], String(bundle.state().pid));

  assert.match(ok(bundle.runtime("exec", bundle.id, "sh", "-c", "echo x >/dev/null && cat /proc/self/cgroup")), /^0::\/$/m);
  ok(bundle.runtime("update", "--memory", "33554432", "--memory-swap", "50331648", "--pids-limit", "44", bundle.id));
  assert.deepEqual(show(unit, "MemoryMax", "MemorySwapMax", "TasksMax"), { MemoryMax: String(32 << 20), MemorySwapMax: String(16 << 20), TasksMax: "44" });
  spawnSync("systemctl", ["daemon-reload"]);
  assert.deepEqual([read("memory.max"), read("pids.max")], [String(32 << 20), "44"]);
  // The devices that every container may use, and no others.
  assert.equal(ok(bundle.runtime("exec", bundle.id, "sh", "-c", "echo x >/dev/null; mknod /tmp/kmsg c 1 11 && (exec 3</tmp/kmsg) 2>/dev/null || echo denied")), "denied\n");
  // A terminal that is not there: allowed, as another error comes than for what is not.
  assert.doesNotMatch(bundle.runtime("exec", bundle.id, "sh", "-c", "mknod /tmp/pts c 136 999; exec 3</tmp/pts").stderr, /not permitted/);
  ok(bundle.runtime("pause", bundle.id));
  assert.equal(bundle.state().status, "paused");
  ok(bundle.runtime("resume", bundle.id));

  ok(bundle.runtime("kill", bundle.id, "TERM"));
  await bundle.until("stopped");
  ok(bundle.runtime("delete", bundle.id));
  assert.equal(existsSync(group), false);
  assert.equal(show(unit, "LoadState")["LoadState"], "not-found");
});

test("systemd's own kill ends a container, and --force removes it; the default slice; room for one process; bad paths", async () => {
  using bundle = new Bundle();
  bundle.configure({ process: processOf(["sleep", "1000"]) }, { cgroupsPath: "", resources: { pids: { limit: 1 } } });
  ok(bundle.runtime("--systemd-cgroup", "create", bundle.id));
  const unit = `gantry-${bundle.id}.scope`;
  assert.equal(readFileSync(`/sys/fs/cgroup/system.slice/${unit}/pids.max`, "utf8"), "1\n");
  assert.equal(show(unit, "TasksMax")["TasksMax"], "1");
  ok(bundle.runtime("start", bundle.id));
  assert.equal(spawnSync("systemctl", ["kill", "--signal", "KILL", unit]).status, 0);
  await bundle.until("stopped");
  ok(bundle.runtime("delete", "--force", bundle.id));
  await untilGone(unit);

  for (const [cgroupsPath, message] of [["/a/path", /slice:prefix:name/], ["a--b.slice:x:y", /invalid slice name/], ["system.slice:x:a/b", /not the name of a systemd unit/]] as const) {
    bundle.configure({}, { cgroupsPath });
    assert.match(bundle.runtime("--systemd-cgroup", "run", bundle.id).stderr, message);
  }
  bundle.configure({ annotations: { "org.systemd.property.NoSuchThing": "true" } }, { cgroupsPath: "" });
  assert.match(bundle.runtime("--systemd-cgroup", "run", bundle.id).stderr, /unable to start unit .*NoSuchThing/);
  bundle.configure({ process: processOf(["/no/such/program"]) }, { cgroupsPath: "" });
  assert.equal(bundle.runtime("--systemd-cgroup", "run", bundle.id).status, 1);
  await untilGone(unit);
  assert.equal(existsSync(`/sys/fs/cgroup/system.slice/${unit}`), false);
});

test("gantryd's containers are scopes, by our own runtime and by runc", async () => {
  await withDaemon(["--exec-opt", "native.cgroupdriver=systemd", "--add-runtime", "other=/usr/sbin/runc"], async (api) => {
    assert.equal((await api.json("GET", "/info")).CgroupDriver, "systemd");
    for (const Runtime of ["", "other"]) {
      const HostConfig = { Runtime, NetworkMode: "none", Memory: 64 << 20, PidsLimit: 30, CgroupParent: "gvm-two.slice", Annotations: { "org.systemd.property.TimeoutStopUSec": "uint64 9000000" } };
      const { Id } = await api.json("POST", "/containers/create", { json: { Image: "busybox", Cmd: ["sleep", "1000"], HostConfig } });
      await api.json("POST", `/containers/${Id}/start`);
      const unit = `gantry-${Id}.scope`;
      const expected = { ActiveState: "active", Slice: "gvm-two.slice", Delegate: "yes", MemoryMax: String(64 << 20), TasksMax: "30", TimeoutStopUSec: "9s" };
      assert.deepEqual(show(unit, ...Object.keys(expected)), expected, Runtime);
      const group = `/sys/fs/cgroup/gvm.slice/gvm-two.slice/${unit}`;
      assert.equal(readFileSync(join(group, "cgroup.procs"), "utf8"), `${(await api.json("GET", `/containers/${Id}/json`)).State.Pid}\n`);
      await api.json("POST", `/containers/${Id}/update`, { json: { PidsLimit: 20 } });
      assert.deepEqual([show(unit, "TasksMax")["TasksMax"], readFileSync(join(group, "pids.max"), "utf8")], ["20", "20\n"]);
      await api.json("DELETE", `/containers/${Id}`, { query: { force: true } });
      await untilGone(unit);
      assert.equal(existsSync(group), false);
    }
  });
});

const user = 65_534;

/** A user's manager, as logind would start it. */
async function startUserManager(runtimeDir: string): Promise<Disposable> {
  mkdirSync(runtimeDir, { recursive: true, mode: 0o700 });
  chownSync(runtimeDir, user, user);
  const unit = "gantry-user-manager.service";
  const { status, stderr } = spawnSync("systemd-run", [`--unit=${unit}`, "--property=User=nobody", "--property=Delegate=yes", `--setenv=XDG_RUNTIME_DIR=${runtimeDir}`, "--setenv=HOME=/tmp", "/lib/systemd/systemd", "--user", "--unit=basic.target"], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  for (let tries = 0; !existsSync(join(runtimeDir, "systemd/private")); tries++) {
    assert.ok(tries < 600, "the user's manager does not start");
    await sleep(100);
  }
  return { [Symbol.dispose]: () => void spawnSync("systemctl", ["stop", unit]) };
}

test("an ordinary user's containers are scopes of the user's manager, also for callers outside of it", async () => {
  using bundle = new Bundle();
  const runtimeDir = `/run/user/${user}`;
  using _manager = await startUserManager(runtimeDir);
  chmodSync(bundle.folder, 0o755);
  const log = join(runtimeDir, "log");
  const as = (...args: string[]): string => {
    // A detached container keeps what it got as its output.
    const { status } = spawnSync("setpriv", ["--reuid", String(user), "--regid", String(user), "--clear-groups", "sh", "-c", 'exec "$@" >"$0" 2>&1 </dev/null', log, bundle.program, ...args], { cwd: bundle.folder, env: { PATH: process.env["PATH"], XDG_RUNTIME_DIR: runtimeDir } });
    const output = readFileSync(log, "utf8");
    assert.equal(status, 0, `${args.join(" ")}: ${output}`);
    return output;
  };
  const spec = rootless(exampleSpec("v2"), [user, user]);
  const linux = { ...spec.linux, cgroupsPath: "user.slice:vm:rootless", resources: { pids: { limit: 30 }, memory: { limit: 64 << 20 }, devices: [{ allow: false, access: "rwm" }] } };
  writeFileSync(join(bundle.folder, "config.json"), JSON.stringify({ ...spec, root: { path: bundle.rootfs, readonly: true }, process: { ...spec.process!, terminal: false, env: ["PATH=/bin"], args: ["sleep", "1000"] }, linux }));
  as("--systemd-cgroup", "run", "-d", "rootless");
  const group = "/sys/fs/cgroup/system.slice/gantry-user-manager.service/user.slice/vm-rootless.scope";
  const { pid } = JSON.parse(as("state", "rootless")) as { pid: number };
  assert.deepEqual(["cgroup.procs", "pids.max", "memory.max"].map((file) => readFileSync(join(group, file), "utf8").trim()), [String(pid), "30", String(64 << 20)]);
  assert.equal(as("exec", "rootless", "cat", "/sys/fs/cgroup/pids.max"), "30\n");
  as("update", "--pids-limit", "20", "rootless");
  assert.equal(readFileSync(join(group, "pids.max"), "utf8"), "20\n");
  as("pause", "rootless");
  as("resume", "rootless");
  as("delete", "--force", "rootless");
  assert.equal(existsSync(group), false);
});
