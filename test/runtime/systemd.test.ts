/** --systemd-cgroup before a systemd that only takes notes; test/vm/systemd.vm.ts has the real one. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { until } from "../../src/lib/eventually.testing.ts";
import type { OciResources } from "../../src/lib/oci-spec.ts";
import { detectLayout } from "../../src/oci/cgroups/layout.ts";
import { FakeSystemd } from "../../src/oci/cgroups/systemd/fake.testing.ts";
import { Bundle, processOf, skip } from "./bundle.ts";

const slice = `gantrytest${process.pid}.slice`;
const groupsOf = (unit: string): string[] => detectLayout().hierarchies.map(({ mountpoint }) => join(mountpoint, slice, unit)).filter((path) => existsSync(path));

interface Answer {
  code: number;
  stdout: string;
  stderr: string;
}

interface Call {
  (...args: string[]): Promise<Answer>;
  /** Not waited for. */
  start: (...args: string[]) => ChildProcess;
}

async function withSystemd(use: (parts: { bundle: Bundle; systemd: FakeSystemd; unit: string; call: Call }) => Promise<void>): Promise<void> {
  using bundle = new Bundle();
  const socket = join(bundle.folder, "bus");
  using systemd = await FakeSystemd.listen(socket);
  const [outPath, errPath] = [join(bundle.folder, "out"), join(bundle.folder, "err")];
  const start: Call["start"] = (...args) => {
    const [out, err] = [openSync(outPath, "w"), openSync(errPath, "w")];
    const child = spawn(bundle.program, bundle.line(["--systemd-cgroup", ...args]), { cwd: bundle.folder, stdio: ["ignore", out, err], env: { ...process.env, DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${socket}` } });
    closeSync(out);
    closeSync(err);
    return child;
  };
  const run = async (...args: string[]): Promise<Answer> => {
    const [code] = (await once(start(...args), "exit")) as [number];
    return { code, stdout: readFileSync(outPath, "utf8"), stderr: readFileSync(errPath, "utf8") };
  };
  const call = Object.assign(run, { start });
  try {
    await use({ bundle, systemd, unit: `p-${bundle.id}.scope`, call });
  } finally {
    await call("delete", "--force", bundle.id);
    for (const { mountpoint } of detectLayout().hierarchies) if (existsSync(join(mountpoint, slice))) rmdirSync(join(mountpoint, slice));
  }
}

const configure = (bundle: Bundle, args: string[], resources: OciResources = {}): void => bundle.configure({ process: processOf(args) }, { cgroupsPath: `${slice}:p:${bundle.id}`, resources });

test("a container in a scope: run, exec, update, delete", { skip }, async () => {
  await withSystemd(async ({ bundle, systemd, unit, call }) => {
    let holder = 0;
    systemd.onStart = (_, { pids }) => {
      holder = pids[0]!;
      assert.equal(process.kill(holder, 0), true);
      assert.deepEqual(groupsOf(unit), []);
    };
    configure(bundle, ["sleep", "1000"], { memory: { limit: 64 << 20 }, cpu: { quota: 20_000, period: 100_000 }, pids: { limit: 1 } });
    assert.deepEqual(await call("run", "-d", bundle.id), { code: 0, stdout: "", stderr: "" });
    assert.throws(() => process.kill(holder, 0), { code: "ESRCH" });
    const { properties } = systemd.units.get(unit)!;
    assert.deepEqual([properties["Slice"], properties["CPUQuotaPerSecUSec"]], [slice, 200_000n]);
    const { pid } = bundle.state();
    for (const group of groupsOf(unit)) assert.match(readFileSync(join(group, "cgroup.procs"), "utf8"), new RegExp(`^${pid}$`, "m"), group);
    // Its process made room for that of the scope's beginning.
    assert.equal(properties["TasksMax"], 1n);
    assert.ok(groupsOf(unit).some((group) => existsSync(join(group, "pids.max")) && readFileSync(join(group, "pids.max"), "utf8") === "1\n"));

    // The record knows the unit: other commands need not say so.
    await call("update", "--pids-limit", "20", bundle.id);
    assert.deepEqual(await call("update", "--cpu-quota", "40000", bundle.id), { code: 0, stdout: "", stderr: "" });
    assert.deepEqual(["TasksMax", "CPUQuotaPerSecUSec", "CPUQuotaPeriodUSec"].map((name) => properties[name]), [20n, 400_000n, 100_000n]);
    assert.match((await call("exec", bundle.id, "cat", "/proc/self/cgroup")).stdout, /:pids:\//);
    assert.equal((await call("delete", "--force", bundle.id)).code, 0);
    assert.equal(systemd.units.size, 0);
    assert.deepEqual(groupsOf(unit), []);
  });
});

test("after a failure neither unit, groups nor record are left", { skip }, async () => {
  await withSystemd(async ({ bundle, systemd, unit, call }) => {
    configure(bundle, ["/no/such"]);
    assert.match((await call("run", bundle.id)).stderr, /no such file or directory/);
    assert.deepEqual(systemd.calls.filter((name) => name.startsWith("St")), ["StartTransientUnit", "StopUnit"]);
    systemd.jobResult = "failed";
    configure(bundle, ["true"]);
    assert.match((await call("create", bundle.id)).stderr, /unable to start unit .*p-gantry-test.* job ended as .*failed/);
    systemd.jobResult = "done";
    assert.equal((await call("list", "-q")).stdout, "");
    assert.deepEqual([systemd.units.size, ...groupsOf(unit)], [0]);
    for (const [cgroupsPath, annotations, message] of [["/a/path", {}, /slice:prefix:name/], [`${slice}:p:x`, { "org.systemd.property.MemoryLow": "<1>" }, /org\.systemd\.property\.MemoryLow/]] as const) {
      bundle.configure({ annotations }, { cgroupsPath });
      assert.match((await call("run", bundle.id)).stderr, message);
    }
    configure(bundle, ["true"]);
    assert.deepEqual(await call("run", bundle.id), { code: 0, stdout: "", stderr: "" });
    const { stdout } = await call("plan", bundle.folder);
    assert.ok(stdout.startsWith(`by systemd, before all else:\n  unit ${unit} slice=${slice}\n`) && stdout.includes(`/${slice}/${unit}`), stdout);
    assert.deepEqual((JSON.parse((await call("plan", "--json", bundle.folder)).stdout) as { unit: unknown }).unit, { name: unit, slice });
  });
});

test("killed while systemd makes the unit: its first process goes, and delete --force removes the rest", { skip: skip || (process.env["GANTRY_TEST_RUNTIME"] ? "the resident process would go on" : false), timeout: 300_000 }, async () => {
  await withSystemd(async ({ bundle, systemd, unit, call }) => {
    systemd.jobResult = undefined;
    let holder = 0;
    systemd.onStart = (_, { pids }) => (holder = pids[0]!);
    configure(bundle, ["true"]);
    const creating = call.start("create", bundle.id);
    await systemd.asked("StartTransientUnit", 1);
    creating.kill("SIGKILL");
    await once(creating, "exit");
    await until("the end of its first process", () => !existsSync(`/proc/${holder}`));
    systemd.jobResult = "done";
    systemd.units.clear();
    assert.equal((await call("delete", "--force", bundle.id)).code, 0);
    assert.deepEqual([(await call("list", "-q")).stdout, ...groupsOf(unit)], [""]);
  });
});

test("without a systemd it is refused", { skip: skip || existsSync("/run/systemd/system") }, () => {
  using bundle = new Bundle();
  assert.match(bundle.runtime("--systemd-cgroup", "create", bundle.id).stderr, /\/run\/systemd\/system is missing, so this machine was not booted with systemd/);
  assert.equal(bundle.runtime("--systemd-cgroup", "list", "-q").stdout, "");
});
