/** runc's commands beyond a container's plain life: pause, ps, update, events, features, and what exec and create take. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { until } from "../../src/lib/eventually.testing.ts";
import type { OciSpec } from "../../src/lib/oci-spec.ts";
import { detectLayout } from "../../src/oci/cgroups/layout.ts";
import { Bundle, processOf, skip } from "./bundle.ts";

const layout = detectLayout();
const group = (bundle: Bundle, controller: string): string | undefined => {
  const hierarchy = layout.hierarchies.find(({ controllers }) => controllers.includes(controller));
  return hierarchy && join(hierarchy.mountpoint, bundle.cgroupsPath);
};
const ok = ({ status, stdout, stderr }: { status: number | null; stdout: string; stderr: string }): string => {
  assert.equal(status, 0, stderr);
  return stdout;
};

test("pause and resume, and what a paused container refuses", { skip }, () => {
  using bundle = new Bundle({ process: processOf(["sleep", "1000"]) });
  ok(bundle.runtime("run", "-d", bundle.id));
  assert.match(bundle.runtime("resume", bundle.id).stderr, /container not paused/);
  ok(bundle.runtime("pause", bundle.id));
  assert.equal(bundle.state().status, "paused");
  const refused = bundle.runtime("exec", bundle.id, "true");
  assert.equal(refused.status, 255);
  assert.match(refused.stderr, /exec failed: cannot exec in a paused container/);
  ok(bundle.runtime("resume", bundle.id));
  assert.equal(bundle.state().status, "running");
  ok(bundle.runtime("pause", bundle.id));
  ok(bundle.runtime("delete", "--force", bundle.id));
  assert.match(bundle.runtime("pause", bundle.id).stderr, /container does not exist/);
});

test("ps: the container's processes and nobody else's", { skip }, async () => {
  using bundle = new Bundle({ process: processOf(["sh", "-c", "sleep 1000 & wait"]) });
  ok(bundle.runtime("run", "-d", bundle.id));
  const all = (): number[] => JSON.parse(ok(bundle.runtime("ps", "--format", "json", bundle.id))) as number[];
  await until("both its processes", () => all().length === 2);
  const pids = all();
  assert.ok(pids.includes(bundle.state().pid));
  const [title, ...lines] = ok(bundle.runtime("ps", bundle.id, "-o", "pid,args")).trim().split("\n");
  assert.match(title!, /PID\s+COMMAND/);
  assert.ok(lines.length > 0 && lines.every((line) => pids.includes(Number(line.trim().split(/\s+/)[0]))));
  assert.match(bundle.runtime("ps", "--format", "x", bundle.id).stderr, /invalid format option/);
});

test("update: flags, a file, and what is left as it was", { skip: skip || layout.mode === "v2" }, () => {
  using bundle = new Bundle({ process: processOf(["sleep", "1000"]) }, { resources: { memory: { limit: 64 << 20 }, cpu: { quota: 50_000, period: 100_000, shares: 100 }, pids: { limit: 20 } } });
  ok(bundle.runtime("run", "-d", bundle.id));
  const read = (controller: string, file: string): string => readFileSync(join(group(bundle, controller)!, file), "utf8").trim();
  ok(bundle.runtime("update", bundle.id, "--memory", "48M", "--cpu-share", "200", "--pids-limit", "-1"));
  assert.deepEqual([read("memory", "memory.limit_in_bytes"), read("cpu", "cpu.shares"), read("cpu", "cpu.cfs_quota_us"), read("pids", "pids.max")], [String(48 << 20), "200", "50000", "max"]);
  ok(bundle.runtime("update", "--cpu-period", "50000", bundle.id));
  assert.deepEqual([read("cpu", "cpu.cfs_quota_us"), read("cpu", "cpu.cfs_period_us")], ["50000", "50000"]);
  const file = join(bundle.folder, "resources.json");
  writeFileSync(file, JSON.stringify({ cpu: { quota: -1 }, pids: { limit: 0 }, devices: [{ allow: true }] }));
  ok(bundle.runtime("update", "-r", file, bundle.id));
  assert.deepEqual([read("cpu", "cpu.cfs_quota_us"), read("pids", "pids.max")], ["-1", "1"]);
  assert.match(bundle.runtime("update", "--cpu-share", "many", bundle.id).stderr, /invalid value for cpu-share/);
  assert.match(bundle.runtime("update", "--l3-cache-schema", "x", bundle.id).stderr, /Intel RDT/);
});

test("events: statistics now and at intervals, ends with the container, and tells of the OOM killer", { skip }, async () => {
  using bundle = new Bundle({ process: processOf(["sh", "-c", "while [ ! -e /tmp/go ]; do sleep 0.05; done; dd if=/dev/zero of=/dev/null bs=200M count=1; while [ ! -e /tmp/end ]; do sleep 0.05; done"]) }, { resources: { memory: { limit: 32 << 20, swap: 32 << 20 } } });
  ok(bundle.runtime("run", "-d", bundle.id));
  const event = JSON.parse(ok(bundle.runtime("events", "--stats", bundle.id))) as { type: string; id: string; data: { memory: { usage: { limit: number } }; pids: { current: number } } };
  assert.deepEqual([event.type, event.id, event.data.memory.usage.limit], ["stats", bundle.id, 32 << 20]);
  assert.ok(event.data.pids.current >= 1);
  const watcher = bundle.start("events", "--interval", "50ms", bundle.id);
  let output = "";
  for await (const chunk of watcher.stdout!) {
    output += String(chunk);
    if (output.includes('"type":"stats"')) writeFileSync(join(bundle.rootfs, "tmp/go"), "");
    if (output.includes('"type":"oom"')) writeFileSync(join(bundle.rootfs, "tmp/end"), "");
  }
  assert.match(output, new RegExp(`^\\{"type":"oom","id":"${bundle.id}"\\}$`, "m"));
  assert.match(bundle.runtime("events", bundle.id).stderr, /is not running/);
});

test("features is the specification's structure", { skip }, () => {
  using bundle = new Bundle();
  const features = JSON.parse(ok(bundle.runtime("features"))) as { ociVersionMin: string; hooks: string[]; mountOptions: string[]; linux: { seccomp: { actions: string[] }; namespaces: string[]; intelRdt: { enabled: boolean } } };
  assert.equal(features.ociVersionMin, "1.0.0");
  assert.ok(features.mountOptions.includes("rro") && features.mountOptions.includes("ridmap"));
  assert.ok(features.linux.seccomp.actions.includes("SCMP_ACT_NOTIFY"));
  assert.equal(features.linux.intelRdt.enabled, false);
});

test("spec --rootless: the caller is root of a user namespace, on the host's network, and it runs", { skip }, () => {
  using bundle = new Bundle();
  const folder = join(bundle.folder, "rootless");
  mkdirSync(folder);
  ok(bundle.runtime("spec", "--rootless", "--bundle", folder));
  const spec = JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as OciSpec;
  assert.deepEqual(spec.linux!.uidMappings, [{ containerID: 0, hostID: process.geteuid!(), size: 1 }]);
  assert.ok(!spec.linux!.namespaces!.some(({ type }) => type === "network") && spec.linux!.resources === undefined);
  spec.root!.path = bundle.rootfs;
  spec.linux!.cgroupsPath = bundle.cgroupsPath;
  spec.process = { ...spec.process!, terminal: false, args: ["/bin/cat", "/proc/self/uid_map"] };
  writeFileSync(join(folder, "config.json"), JSON.stringify(spec));
  assert.match(ok(bundle.runtime("run", "--bundle", folder, bundle.id)), /^\s+0\s+0\s+1$/m);
});

test("file descriptors that are preserved arrive from 3 on, and no others", { skip }, () => {
  using bundle = new Bundle({ process: processOf(["sh", "-c", "cat <&3; ls /proc/self/fd | wc -l"]) });
  const file = join(bundle.folder, "preserved");
  writeFileSync(file, "kept\n");
  const fd = openSync(file, "r");
  // 0 to 3, and the folder that ls itself reads.
  assert.equal(ok(bundle.runtimeWith({ fds: [fd] }, "run", "--preserve-fds", "1", bundle.id)), "kept\n5\n");
  closeSync(fd);
});

test("exec joins groups below the container's, and refuses others", { skip: skip || layout.mode === "v2" }, () => {
  using bundle = new Bundle({ process: processOf(["sleep", "1000"]) });
  ok(bundle.runtime("run", "-d", bundle.id));
  mkdirSync(join(group(bundle, "pids")!, "below"));
  assert.match(ok(bundle.runtime("exec", "--cgroup", "pids:below", bundle.id, "cat", "/proc/self/cgroup")), /:pids:\/below$/m);
  assert.match(bundle.runtime("exec", "--cgroup", "..", bundle.id, "true").stderr, /bad sub cgroup path/);
  assert.match(bundle.runtime("exec", "--cgroup", "nothing:x", bundle.id, "true").stderr, /unknown controller nothing/);
  assert.match(bundle.runtime("exec", "--cgroup", "pids:none", bundle.id, "true").stderr, /no such file or directory/);
});

test("a container may use every CPU of its cpuset, whatever its caller may; an exec those of execCPUAffinity", { skip: skip || availableParallelism() < 2 }, () => {
  using bundle = new Bundle();
  const cpus = /Cpus_allowed_list:\t(.*)/.exec(readFileSync("/proc/self/status", "utf8"))![1]!;
  const first = cpus.split(/[-,]/)[0]!;
  bundle.configure({ process: processOf(["sleep", "1000"], { execCPUAffinity: { initial: first, final: first } }) });
  const line = ["-c", first, process.execPath, ...bundle.line(["run", "-d", bundle.id])];
  assert.equal(spawnSync("taskset", line, { cwd: bundle.folder, stdio: "ignore" }).status, 0);
  const allowed = (text: string): string => /Cpus_allowed_list:\t(.*)/.exec(text)![1]!;
  assert.equal(allowed(readFileSync(`/proc/${bundle.state().pid}/status`, "utf8")), cpus);
  assert.equal(allowed(ok(bundle.runtime("exec", bundle.id, "cat", "/proc/self/status"))), first);
});

test("a group that is in use, or frozen, is refused", { skip }, () => {
  using bundle = new Bundle({ process: processOf(["sleep", "1000"]) });
  ok(bundle.runtime("run", "-d", bundle.id));
  const { status, stderr } = bundle.runtime("create", `${bundle.id}-second`);
  assert.equal(status, 1);
  assert.match(stderr, /container's cgroup is not empty/);
  assert.equal(bundle.state().status, "running");
  assert.equal(ok(bundle.runtime("list", "-q")), `${bundle.id}\n`);
});

test("a pidfd of the process is sent to --pidfd-socket", { skip }, async () => {
  using bundle = new Bundle({ process: processOf(["sleep", "1000"]) });
  const path = join(bundle.folder, "pidfd.sock");
  const received = new Promise<string>((resolve) => {
    const server = createServer((socket) => socket.once("data", (data) => (resolve(String(data)), server.close()))).listen(path);
  });
  const child = bundle.start("run", "-d", "--pidfd-socket", path, bundle.id);
  assert.equal(await received, "pidfd");
  assert.equal(await new Promise((resolve) => child.once("exit", resolve)), 0);
});

test("state.json has the members of runc's that others read", { skip }, () => {
  using bundle = new Bundle({ process: processOf(["sleep", "1000"]) });
  ok(bundle.runtime("run", "-d", bundle.id));
  const state = JSON.parse(readFileSync(join(bundle.folder, "state", bundle.id, "state.json"), "utf8")) as Record<string, unknown>;
  const { pid } = bundle.state();
  assert.deepEqual([state["id"], state["init_process_pid"]], [bundle.id, pid]);
  assert.equal((state["namespace_paths"] as Record<string, string>)["NEWPID"], `/proc/${pid}/ns/pid`);
  assert.ok(Object.values(state["cgroup_paths"] as Record<string, string>).every((path) => existsSync(path)));
});
