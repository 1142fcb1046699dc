/** What a configuration asks for, seen from inside the container. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chownSync, mkdirSync, readFileSync, readdirSync, readlinkSync as readlink, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { defaultMounts, defaultNamespaces } from "../../src/core/oci-defaults.ts";
import { until } from "../../src/lib/eventually.testing.ts";
import type { OciNamespaceType } from "../../src/lib/oci-spec.ts";
import { detectLayout } from "../../src/oci/cgroups/layout.ts";
import { Bundle, capabilities, processOf, skip } from "./bundle.ts";

const namespaces = [...defaultNamespaces, "cgroup" as const].map((type) => ({ type }));
const statusLines = (output: string): Record<string, string> => Object.fromEntries([...output.matchAll(/^(\w+):\t(.*)$/gm)].map(([, key, value]) => [key!, value!]));

test("capabilities, no-new-privs, user, groups, umask, limits", { skip }, () => {
  using bundle = new Bundle();
  const status = statusLines(bundle.run("cat /proc/self/status"));
  assert.deepEqual([status["CapBnd"], status["CapEff"], status["CapPrm"], status["CapInh"], status["CapAmb"]], ["00000000a80425fb", "00000000a80425fb", "00000000a80425fb", "0000000000000000", "0000000000000000"]);
  assert.equal(status["NoNewPrivs"], "0");
  const user = { uid: 1000, gid: 100, additionalGids: [7], umask: 0o27 };
  const limited = processOf([], { user, noNewPrivileges: true, rlimits: [{ type: "RLIMIT_NOFILE", soft: 99, hard: 100 }, { type: "RLIMIT_CORE", soft: 0, hard: 2 ** 64 }], oomScoreAdj: 77 });
  const output = bundle.run("cat /proc/self/status; umask; ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj", { process: limited });
  const own = statusLines(output);
  assert.deepEqual([own["Uid"], own["Gid"], own["Groups"]?.trim(), own["CapEff"], own["NoNewPrivs"]], ["1000\t1000\t1000\t1000", "100\t100\t100\t100", "7", "0000000000000000", "1"]);
  assert.match(output, /\n0027\n99\n100\n77\n$/);
});

test("namespaces are the container's own, joined, or the host's", { skip }, async () => {
  using bundle = new Bundle();
  const links = (asked: { type: OciNamespaceType; path?: string }[]): Record<string, string> =>
    Object.fromEntries(bundle.run("for n in pid net mnt ipc uts cgroup time; do echo $n $(readlink /proc/self/ns/$n); done", {}, { namespaces: asked }).trim().split("\n").map((line) => line.split(" ") as [string, string]));
  const host = (name: string): string => readlink(`/proc/self/ns/${name}`);
  const own = links([...namespaces, { type: "time" }]);
  for (const [name, link] of Object.entries(own)) assert.notEqual(link, host(name), name);
  const few = links([{ type: "mount" }, { type: "pid" }]);
  for (const name of ["net", "ipc", "uts", "cgroup"]) assert.equal(few[name], host(name));
  const other = spawn("unshare", ["-n", "-i", "sleep", "1000"]);
  try {
    await until("namespaces of its own", () => readlink(`/proc/${other.pid}/ns/ipc`) !== host("ipc"));
    const joined = links([{ type: "mount" }, { type: "network", path: `/proc/${other.pid}/ns/net` }, { type: "ipc", path: `/proc/${other.pid}/ns/ipc` }]);
    assert.deepEqual([joined["net"], joined["ipc"]], [readlink(`/proc/${other.pid}/ns/net`), readlink(`/proc/${other.pid}/ns/ipc`)]);
  } finally {
    other.kill("SIGKILL");
  }
});

test("a user namespace maps ids, and the container's root owns what it makes as the mapped one", { skip }, () => {
  using bundle = new Bundle();
  const map = [{ containerID: 0, hostID: 200_000, size: 1000 }];
  for (const name of readdirSync(bundle.rootfs)) chownSync(join(bundle.rootfs, name), 200_000, 200_000);
  const output = bundle.run("cat /proc/self/uid_map; id -u; touch /tmp/made", { mounts: defaultMounts.filter(({ type }) => type !== "cgroup") }, { namespaces: [...namespaces, { type: "user" }], uidMappings: map, gidMappings: map });
  assert.match(output, /^\s+0\s+200000\s+1000\n0\n$/);
  assert.equal(statSync(join(bundle.rootfs, "tmp/made")).uid, 200_000);
});

test("limits are the group's, and the container sees its own group", { skip: skip || (detectLayout().mode === "v2" ? "is about cgroup v1" : false) }, () => {
  using bundle = new Bundle();
  const cpu = /^Cpus_allowed_list:\t(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))![1]!;
  const output = bundle.run("cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes pids/pids.max cpu*/cpu.cfs_quota_us cpu*/cpu.shares cpuset/cpuset.cpus; cat pids/cgroup.procs | head -1; cat /proc/self/cgroup | grep pids; mkdir memory/x 2>&1; true", { process: processOf([]) }, {
    resources: { memory: { limit: 64 << 20, swap: 96 << 20 }, pids: { limit: 55 }, cpu: { quota: 30_000, period: 100_000, shares: 300, cpus: cpu }, devices: [{ allow: false }] },
  }).replace(/mkdir.*\n/, (line) => (assert.match(line, /Read-only/), ""));
  assert.deepEqual(output.trim().split("\n"), ["67108864", "100663296", "55", "30000", "300", cpu, "1", output.trim().split("\n").at(-1)!]);
  assert.match(output, /:pids:\/\n$/);
});

test("limits on a hybrid machine's v2 side", { skip: skip || (detectLayout().hierarchies.some(({ version, controllers }) => version === 2 && controllers.includes("hugetlb")) ? false : "needs the hugetlb controller on v2") }, () => {
  using bundle = new Bundle({ process: processOf(["sleep", "1000"]) }, { resources: { hugepageLimits: [{ pageSize: "2MB", limit: 4 << 20 }] } });
  const made = bundle.runtime("create", bundle.id);
  assert.equal(made.status, 0, made.stderr);
  const v2 = detectLayout().hierarchies.find(({ version }) => version === 2)!;
  assert.equal(readFileSync(join(v2.mountpoint, bundle.cgroupsPath, "hugetlb.2MB.max"), "utf8").trim(), String(4 << 20));
});

test("devices: the standard ones work, others neither by node nor by making one", { skip }, () => {
  using bundle = new Bundle();
  const output = bundle.run("echo x > /dev/null && head -c 2 /dev/zero | wc -c; mknod /tmp/kmsg c 1 11; cat /tmp/kmsg 2>&1; mknod /tmp/z c 1 5; head -c 1 /tmp/z | wc -c; ls -l /dev/my | cut -c1-10");
  assert.match(output, /^2\ncat: can't open '\/tmp\/kmsg': Operation not permitted\n1\n/);
  const own = bundle.run("ls -ln /dev/my; cat /dev/my | head -c1 | wc -c", {}, { devices: [{ path: "/dev/my", type: "c", major: 1, minor: 5, fileMode: 0o640, uid: 5, gid: 6 }] });
  assert.match(own, /^crw-r-----\s+1 5\s+6\s+1,\s+5 .*\n1\n$/);
  assert.equal(bundle.run("mknod /tmp/k2 c 10 229; exec 3</tmp/k2 && echo opened", { process: processOf([]) }, { resources: { devices: [{ allow: true, access: "rwm" }] } }), "opened\n");
});

test("masked and read-only paths, read-only root", { skip }, () => {
  using bundle = new Bundle();
  const script = "cat /proc/keys | wc -c; ls /sys/firmware | wc -l; echo 1 > /proc/sys/kernel/shmmni; touch /x; touch /dev/x && echo dev";
  const output = bundle.run(`(${script}) 2>&1`, { root: { path: "rootfs", readonly: true } });
  assert.deepEqual(output.trim().split("\n"), ["0", "0", "sh: can't create /proc/sys/kernel/shmmni: Read-only file system", "touch: /x: Read-only file system", "dev"]);
});

test("hostname, domain name and sysctls", { skip }, () => {
  using bundle = new Bundle();
  const output = bundle.run("hostname; cat /proc/sys/kernel/domainname /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni /proc/sys/fs/mqueue/msg_max", { hostname: "box", domainname: "example.org" }, { sysctl: { "net.ipv4.ip_forward": "1", "kernel.shmmni": "77", "fs.mqueue.msg_max": "33" } });
  assert.equal(output, "box\nexample.org\n1\n77\n33\n");
  assert.notEqual(readFileSync("/proc/sys/kernel/shmmni", "utf8"), "77\n");
});

test("mounts: binds with their options, tmpfs read-only when filled, files and folders made", { skip }, () => {
  using bundle = new Bundle();
  const source = join(bundle.folder, "source");
  mkdirSync(join(source, "sub"), { recursive: true });
  writeFileSync(join(source, "file"), "content");
  const mounts = [
    ...defaultMounts,
    { destination: "/data", type: "bind", source, options: ["rbind", "ro", "rprivate"] },
    { destination: "/new/place/file", type: "bind", source: join(source, "file"), options: ["bind", "nosuid", "noexec"] },
    { destination: "/cache", type: "tmpfs", source: "tmpfs", options: ["ro", "nodev", "size=64k", "mode=0711"] },
    { destination: "/cache/in", type: "bind", source: join(source, "sub"), options: ["bind"] },
  ];
  const output = bundle.run("cat /data/file; touch /data/x 2>&1; cat /new/place/file; touch /cache/x 2>&1; touch /cache/in/x && echo ok; grep -E ' /(data|cache|new/place/file) ' /proc/self/mountinfo | cut -d' ' -f5,6; stat -c %a /cache", { mounts });
  assert.deepEqual(output.trim().split("\n"), ["contenttouch: /data/x: Read-only file system", "contenttouch: /cache/x: Read-only file system", "ok", "/data ro,relatime", "/new/place/file rw,nosuid,noexec,relatime", "/cache ro,nodev,relatime", "711"]);
});

test("a tmpfs takes the mode of the folder it covers, or 1777", { skip }, () => {
  using bundle = new Bundle();
  mkdirSync(join(bundle.rootfs, "private"), { mode: 0o700 });
  const mounts = [...defaultMounts, { destination: "/private", type: "tmpfs" }, { destination: "/fresh", type: "tmpfs" }];
  assert.equal(bundle.run("stat -c %a /private /fresh", { mounts }), "700\n1777\n");
});

test("/dev can be read-only: it is filled before", { skip }, () => {
  using bundle = new Bundle();
  const mounts = defaultMounts.map((mount) => (mount.destination === "/dev" ? { ...mount, options: [...mount.options!, "ro"] } : mount));
  assert.match(bundle.run("test -c /dev/null && touch /dev/x 2>&1; true", { mounts }), /Read-only file system/);
});

test("a tmpfs with tmpcopyup begins with what it covers", { skip }, () => {
  using bundle = new Bundle();
  const covered = join(bundle.rootfs, "covered");
  mkdirSync(join(covered, "deep/er"), { recursive: true });
  writeFileSync(join(covered, "deep/file"), "content", { mode: 0o640 });
  symlinkSync("/etc/nowhere", join(covered, "link"));
  chownSync(join(covered, "deep/file"), 7, 8);
  const mounts = [...defaultMounts, { destination: "/covered", type: "tmpfs", options: ["tmpcopyup", "ro"] }];
  const output = bundle.run("cat /covered/deep/file; stat -c ' %a %u %g' /covered/deep/file; readlink /covered/link; ls -d /covered/deep/er; touch /covered/x 2>&1; true", { mounts });
  assert.deepEqual(output.trim().split("\n"), ["content 640 7 8", "/etc/nowhere", "/covered/deep/er", "touch: /covered/x: Read-only file system"]);
});

test("links in the root file system do not lead mounts, masks and devices out of it", { skip }, () => {
  using bundle = new Bundle();
  const canary = join(bundle.folder, "canary");
  mkdirSync(canary);
  symlinkSync(canary, join(bundle.rootfs, "mnt"));
  symlinkSync("../../../../../../../..", join(bundle.rootfs, "up"));
  const mounts = [...defaultMounts, { destination: "/mnt/a", type: "tmpfs" }, { destination: `/up${canary}/b`, type: "bind", source: "/dev/null" }];
  bundle.run("true", { mounts }, { devices: [{ path: "/mnt/node", type: "c", major: 1, minor: 3 }], maskedPaths: [`/up${canary}`], readonlyPaths: ["/up/etc"] });
  assert.deepEqual(readdirSync(canary), []);
});

test("/proc that is a link is refused", { skip }, () => {
  using bundle = new Bundle();
  rmSync(join(bundle.rootfs, "proc"), { recursive: true });
  mkdirSync(join(bundle.rootfs, "elsewhere"));
  symlinkSync("elsewhere", join(bundle.rootfs, "proc"));
  bundle.configure({ process: processOf(["true"]) });
  const { status, stderr } = bundle.runtime("run", bundle.id);
  assert.equal(status, 1, "a container with /proc as a link ran");
  assert.match(stderr, /filesystem \\"proc\\" must be mounted on ordinary directory/);
});

test("a working directory outside of the root, by a leaked descriptor, is refused", { skip }, () => {
  using bundle = new Bundle();
  for (let fd = 3; fd < 20; fd++) {
    bundle.configure({ process: processOf(["cat", "../../../../etc/hostname"], { cwd: `/proc/self/fd/${fd}` }) });
    const { status, stdout } = bundle.runtime("run", bundle.id);
    assert.notEqual(status, 0, `cwd /proc/self/fd/${fd}: ${stdout}`);
  }
});

test("seccomp: a profile's verdicts hold inside, and without one nothing is filtered", { skip }, () => {
  using bundle = new Bundle();
  const seccomp = { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28 }] };
  assert.match(bundle.run("mkdir /tmp/x 2>&1; grep Seccomp: /proc/self/status", {}, { seccomp }), /No space left on device\nSeccomp:\t2/);
  assert.match(bundle.run("mkdir /tmp/x; grep Seccomp: /proc/self/status"), /^Seccomp:\t0/);
  assert.match(bundle.run("grep Seccomp: /proc/self/status; mkdir /tmp/y 2>&1; true", { process: processOf([], { noNewPrivileges: true, capabilities: { ...capabilities, effective: [] } }) }, { seccomp }), /Seccomp:\t2\nmkdir.*No space/);
});

test("propagation: a slave mount sees what the host mounts later, a private one does not", { skip }, () => {
  using bundle = new Bundle();
  const mounts = (option: string): typeof defaultMounts[number][] => [...defaultMounts, { destination: "/p", type: "bind", source: bundle.folder, options: ["rbind", option] }];
  const tag = (option: string): string => bundle.run("grep ' /p ' /proc/self/mountinfo", { mounts: mounts(option) });
  assert.doesNotMatch(tag("rprivate"), /shared:|master:/);
  assert.match(tag("rshared"), /shared:/);
});
