import assert from "node:assert/strict";
import { test } from "node:test";
import * as defaults from "../../core/oci-defaults.ts";
import type { OciMount, OciSpec } from "../../lib/oci-spec.ts";
import type { HostFacts } from "../host.ts";
import type { ChildOp, Plan } from "../plan/types.ts";
import type { CompileOptions } from "./compile.ts";
import { compile, compileExec } from "./compile.ts";

const allCapabilities = (1n << 41n) - 1n;
const host: HostFacts = {
  architecture: "x86_64",
  kernelRelease: "6.18.0",
  capabilities: allCapabilities,
  namespaces: new Set(["pid", "net", "mnt", "ipc", "uts", "user", "cgroup", "time"]),
  cgroups: {
    mode: "hybrid",
    hierarchies: [
      { version: 1, mountpoint: "/sys/fs/cgroup/cpu,cpuacct", controllers: ["cpu", "cpuacct"], ownPath: "/" },
      { version: 1, mountpoint: "/sys/fs/cgroup/cpuset", controllers: ["cpuset"], ownPath: "/" },
      { version: 1, mountpoint: "/sys/fs/cgroup/devices", controllers: ["devices"], ownPath: "/" },
      { version: 1, mountpoint: "/sys/fs/cgroup/systemd", controllers: ["name=systemd"], ownPath: "/" },
      { version: 2, mountpoint: "/sys/fs/cgroup/unified", controllers: ["hugetlb"], ownPath: "/" },
    ],
    files: new Set(),
  },
  apparmor: false,
  selinux: false,
  kcore: true,
};
const v2Host: HostFacts = { ...host, cgroups: { mode: "v2", hierarchies: [{ version: 2, mountpoint: "/sys/fs/cgroup", controllers: ["cpu", "memory", "pids"], ownPath: "/" }], files: new Set() } };

const user = { uid: 0, gid: 0 };
const base: OciSpec = {
  ociVersion: "1.2.0",
  process: { user, args: ["/bin/true"], env: ["PATH=/bin"], cwd: "/" },
  root: { path: "rootfs" },
  linux: { cgroupsPath: "/gantry/c", namespaces: defaults.defaultNamespaces.map((type) => ({ type })) },
};
const spec = (change: Partial<OciSpec>, linux: Partial<NonNullable<OciSpec["linux"]>> = {}): OciSpec => ({ ...base, ...change, linux: { ...base.linux, ...linux } });
const planOf = (asked: OciSpec, options: Partial<CompileOptions> = {}): Plan => compile(asked, { id: "c", host, bundle: "/bundle", ...options });
const child = <Name extends ChildOp["op"]>(plan: Plan, op: Name): (ChildOp & { op: Name })[] => plan.child.filter((one): one is ChildOp & { op: Name } => one.op === op);
const none = { set: 0n, clear: 0n, recursiveSet: 0n, recursiveClear: 0n };
const mounting = (mount: OciMount, options: Partial<CompileOptions> = {}): ChildOp => planOf(spec({ mounts: [mount] }), options).child[3]!;

test("a container's life in order: groups, limits, joining them, root, mounts, devices, pivot, masks", () => {
  const plan = planOf(spec({ hostname: "box", mounts: [...defaults.defaultMounts], root: { path: "rootfs", readonly: true } }, { maskedPaths: ["/proc/keys"], readonlyPaths: ["/proc/sys"], resources: { devices: [...defaults.defaultDeviceRules] } }));
  const names = plan.child.map(({ op }) => op);
  assert.deepEqual([...new Set(names)], ["joinCgroups", "rootPropagation", "rootBind", "mount", "cgroupMount", "mknod", "symlink", "pivotRoot", "hostname", "readonlyPath", "maskPath", "readonlyRoot"]);
  assert.deepEqual(plan.host.slice(0, 5).map((op) => op.op === "cgroupMkdir" && op.path), ["cpu,cpuacct", "cpuset", "devices", "systemd", "unified"].map((name) => `/sys/fs/cgroup/${name}/gantry/c`));
  assert.equal(plan.host[1]?.op === "cgroupMkdir" && plan.host[1].copyCpuset, true);
  assert.deepEqual(plan.teardown, plan.host.slice(0, 5).map((op) => ({ op: "cgroupRemove", path: op.path })));
  assert.deepEqual(child(plan, "rootBind"), [{ op: "rootBind", source: "/bundle/rootfs" }]);
});

test("the root comes from the storage driver when it says so", () => {
  const overlay = planOf(base, { rootfs: [{ type: "overlay", lower: ["/b", "/a"], upper: "/u", work: "/w", options: ["index=off", "userxattr"] }] });
  assert.deepEqual(child(overlay, "rootOverlay"), [{ op: "rootOverlay", lower: ["/b", "/a"], upper: "/u", work: "/w", options: [["index", "off"], ["userxattr", null]] }]);
  assert.equal(child(planOf(base, { rootfs: [{ type: "bind", source: "/r", readonly: true }] }), "readonlyRoot").length, 1);
  assert.throws(() => planOf(spec({ root: { path: "" } })), /root\.path is missing/);
});

test("namespaces are new, joined by path, by fd, or the host's", () => {
  const plan = planOf(spec({}, { namespaces: [{ type: "mount" }, { type: "ipc", path: "/proc/7/ns/ipc" }, { type: "network" }] }), { netnsFd: 2 });
  assert.deepEqual(plan.namespaces, [{ type: "mount", kind: "new" }, { type: "ipc", kind: "join", path: "/proc/7/ns/ipc" }, { type: "network", kind: "joinFd", index: 2 }]);
});

test("a file system's mount: attributes, and options of its own", () => {
  assert.deepEqual(mounting({ destination: "/dev/pts", type: "devpts", source: "devpts", options: ["nosuid", "noexec", "newinstance", "gid=5"] }), {
    op: "mount", fstype: "devpts", source: "devpts", target: "/dev/pts", options: [["newinstance", null], ["gid", "5"]], attributes: { ...none, set: 0xan }, create: "dir",
  });
  const disk = mounting({ destination: "/data", type: "ext4", source: "/dev/vda", options: ["ro", "sync", "noatime", "data=ordered"] });
  assert.deepEqual(disk.op === "mount" && [disk.options, disk.attributes], [[["sync", null], ["data", "ordered"], ["ro", null]], { ...none, set: 0x11n, clear: 0x70n }]);
});

test("a tmpfs takes the mode of what it covers unless it has one, and is read-only when all is in it", () => {
  const plan = planOf(spec({ mounts: [{ destination: "/run", type: "tmpfs", source: "tmpfs", options: ["ro", "tmpcopyup", "size=64k"] }, { destination: "/run/x", type: "bind", source: "/x" }] }));
  assert.deepEqual(child(plan, "mount")[0], { op: "mount", fstype: "tmpfs", source: "tmpfs", target: "/run", options: [["size", "64k"]], attributes: none, create: "dir", copyUp: true, inheritMode: true });
  const order = plan.child.map(({ op }) => op);
  assert.ok(order.indexOf("setAttributes") > order.indexOf("bind"));
  assert.deepEqual(child(plan, "setAttributes"), [{ op: "setAttributes", target: "/run", attributes: { ...none, set: 1n } }]);
  const withMode = mounting({ destination: "/t", type: "tmpfs", options: ["mode=1777"] });
  assert.equal(withMode.op === "mount" && withMode.inheritMode, undefined);
});

test("bind mounts: sources, recursion, propagation and recursive attributes", () => {
  assert.deepEqual(mounting({ destination: "/a/../b", type: "none", source: "sub", options: ["rbind", "rro", "rprivate", "slave"] }), {
    op: "bind", source: "/bundle/sub", target: "/b", recursive: true, attributes: { ...none, recursiveSet: 1n }, create: "like-source",
    propagation: [{ type: "private", recursive: true }, { type: "slave", recursive: false }],
  });
  for (const [destination, source] of [["/proc", "/proc"], ["/proc", "/missing"], ["/proc/meminfo", "/s"], ["/process", "/s"]] as const) assert.equal(mounting({ destination, type: "bind", source }).op, "bind", destination);
  const plain = mounting({ destination: "/b", source: "/s", options: ["bind", "ro", "rw", "nosuid"] });
  assert.deepEqual(plain.op === "bind" && [plain.recursive, plain.attributes], [false, { ...none, set: 2n, clear: 0x200000n | 0xdn }]);
});

test("id-mapped binds take their own maps, or the container's", () => {
  const map = [{ containerID: 0, hostID: 100_000, size: 10 }];
  const own = mounting({ destination: "/b", type: "bind", source: "/s", uidMappings: map, gidMappings: map });
  assert.deepEqual(own.op === "bind" && [own.idmap, own.attributes], [{ uid: "0 100000 10\n", gid: "0 100000 10\n", recursive: false }, none]);
  const mount: OciMount = { destination: "/b", type: "bind", source: "/s", options: ["ridmap"] };
  const userspaces = { namespaces: [...base.linux!.namespaces!, { type: "user" as const }], uidMappings: map, gidMappings: map };
  const theirs = child(planOf(spec({ mounts: [mount] }, userspaces)), "bind")[0]!;
  assert.deepEqual([theirs.idmap?.uid, theirs.idmap?.recursive], ["0 100000 10\n", true]);
  assert.throws(() => mounting(mount), /needs both uidMappings and gidMappings/);
});

test("cgroup mounts show each v1 hierarchy, bound from the host unless the cgroup namespace is the container's", () => {
  const mount = { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro", "nosuid"] };
  const shared = mounting(mount);
  assert.ok(shared.op === "cgroupMount" && shared.readonly && !shared.unified);
  assert.deepEqual(shared.hierarchies[0], { name: "cpu,cpuacct", controllers: "cpu,cpuacct", links: ["cpu", "cpuacct"], hostPath: "/sys/fs/cgroup/cpu,cpuacct/gantry/c" });
  assert.deepEqual(shared.hierarchies.at(-1), { name: "systemd", controllers: "none,name=systemd", links: [], hostPath: "/sys/fs/cgroup/systemd/gantry/c" });
  const own = child(planOf(spec({ mounts: [mount] }, { namespaces: [...base.linux!.namespaces!, { type: "cgroup" }] })), "cgroupMount")[0]!;
  assert.deepEqual(own.hierarchies.map(({ hostPath }) => hostPath), ["", "", "", ""]);
  const v2 = child(planOf(spec({ mounts: [mount] }), { host: v2Host }), "cgroupMount")[0]!;
  assert.ok(v2.unified);
  assert.deepEqual(v2.hierarchies, [{ name: "cgroup", controllers: "", links: [], hostPath: "/sys/fs/cgroup/gantry/c" }]);
});

test("v2 hands the controllers down from the root to the group's parent, and device rules are a program", () => {
  const plan = planOf(spec({}, { resources: { pids: { limit: 5 } } }), { host: v2Host });
  assert.deepEqual(plan.host.slice(1, 3).map((op) => op.op === "writeFile" && [op.path, op.data]), [["/sys/fs/cgroup/cgroup.subtree_control", "+cpu +memory +pids"], ["/sys/fs/cgroup/gantry/cgroup.subtree_control", "+cpu +memory +pids"]]);
  assert.equal(plan.host.at(-1)?.op, "cgroupDeviceProgram");
  const hugetlb = planOf(spec({}, { resources: { hugepageLimits: [{ pageSize: "2MB", limit: 0 }] } })).host.filter((op) => op.op === "writeFile").map(({ path }) => path);
  assert.ok(hugetlb.includes("/sys/fs/cgroup/unified/gantry/cgroup.subtree_control"));
});

test("devices: the standard ones, those asked for instead, none over a mount, none in the host's /dev", () => {
  const nodes = (change: Partial<OciSpec>, linux = {}): string[] => child(planOf(spec(change, linux)), "mknod").map(({ target, major, minor, mode }) => `${target} ${major}:${minor} ${mode.toString(8)}`);
  assert.deepEqual(nodes({}), ["/dev/null 1:3 666", "/dev/zero 1:5 666", "/dev/full 1:7 666", "/dev/random 1:8 666", "/dev/urandom 1:9 666", "/dev/tty 5:0 666"]);
  assert.ok(nodes({}, { devices: [{ path: "/dev/null", type: "c", major: 1, minor: 9, fileMode: 0o100600 }] }).includes("/dev/null 1:9 600"));
  assert.equal(nodes({ mounts: [{ destination: "/dev/random", type: "bind", source: "/dev/zero" }] }).length, 5);
  const hostDev = planOf(spec({ mounts: [{ destination: "/dev", type: "bind", source: "/dev" }] }));
  assert.deepEqual([child(hostDev, "mknod"), child(hostDev, "symlink")], [[], []]);
  assert.deepEqual(child(planOf(base), "symlink").map(({ target, to }) => `${target} ${to}`), ["/dev/fd /proc/self/fd", "/dev/stdin /proc/self/fd/0", "/dev/stdout /proc/self/fd/1", "/dev/stderr /proc/self/fd/2", "/dev/ptmx pts/ptmx", "/dev/core /proc/kcore"]);
});

test("sysctls of the container's own namespaces are paths, others are refused by name", () => {
  const sysctls = (sysctl: Record<string, string>, namespaces = base.linux!.namespaces!): string[] => child(planOf(spec({}, { sysctl, namespaces })), "sysctl").map(({ name }) => name);
  assert.deepEqual(sysctls({ "net.ipv4.ip_forward": "1", "kernel.shmmax": "5", "fs.mqueue.msg_max": "9", "net/ipv4/conf/eth0.1/rp_filter": "0", "net.ipv4.conf.eth0/1.rp_filter": "0" }), [
    "net/ipv4/ip_forward", "kernel/shmmax", "fs/mqueue/msg_max", "net/ipv4/conf/eth0.1/rp_filter", "net/ipv4/conf/eth0.1/rp_filter",
  ]);
  const mount = [{ type: "mount" as const }];
  assert.throws(() => sysctls({ "kernel.pid_max": "5" }), /linux\.sysctl "kernel\.pid_max" is not in a separate kernel namespace/);
  assert.throws(() => sysctls({ "net.core.somaxconn": "5" }, mount), /not allowed in the host network namespace/);
  assert.throws(() => sysctls({ "kernel.sem": "5" }, mount), /host ipc namespace/);
  assert.throws(() => planOf(spec({}, { sysctl: { "net.core.somaxconn": "5" }, namespaces: [...mount, { type: "network", path: "/proc/1/ns/net" }] }), { joinsHostNetwork: true }), /host network namespace/);
  assert.throws(() => sysctls({ "kernel.hostname": "x" }), /use the field hostname/);
  for (const name of ["net/../kernel/panic", "net..x", "../x", "", "net/ipv4/\0"]) assert.throws(() => sysctls({ [name]: "1" }), /linux\.sysctl/);
});

test("the process: capabilities as masks, limits, priorities", () => {
  const { exec } = planOf(spec({
    process: {
      ...base.process!,
      user: { uid: 1000, gid: 100, additionalGids: [5], umask: 0o27, username: "web:www", additionalGroups: ["audio"] },
      capabilities: { bounding: ["CAP_CHOWN", "CAP_KILL"], effective: ["CAP_KILL"] },
      rlimits: [{ type: "RLIMIT_NOFILE", soft: 10, hard: 2 ** 64 }, { type: "RLIMIT_CORE", soft: 0, hard: -1 }],
      noNewPrivileges: true,
      oomScoreAdj: -5,
      ioPriority: { class: "IOPRIO_CLASS_BE", priority: 4 },
      scheduler: { policy: "SCHED_BATCH", nice: 5, flags: ["SCHED_FLAG_RESET_ON_FORK"] },
    },
  }, { personality: { domain: "LINUX32" } }));
  assert.deepEqual(exec.capabilities, { bounding: 0x21n, effective: 0x20n, permitted: 0n, inheritable: 0n, ambient: 0n });
  assert.deepEqual(exec.rlimits, [{ resource: 7, soft: 10n, hard: 2n ** 64n - 1n }, { resource: 4, soft: 0n, hard: 2n ** 64n - 1n }]);
  assert.deepEqual(exec.user, { uid: 1000, gid: 100, additionalGids: [5], umask: 0o27, spec: "web:www", groupSpecs: ["audio"] });
  assert.deepEqual([exec.noNewPrivileges, exec.oomScoreAdj, exec.ioPriority, exec.personality, exec.keyring, exec.createCwd], [true, -5, 0x4004, 8, "_ses.c", true]);
  assert.deepEqual(exec.scheduler, { policy: 3, flags: 1n, nice: 5, priority: 0, runtime: 0n, deadline: 0n, period: 0n });
});

test("capabilities that the machine lacks are left out with one warning each", () => {
  const warnings: string[] = [];
  const process = { ...base.process!, capabilities: { bounding: ["CAP_SYS_RESOURCE", "CAP_KILL"], permitted: ["CAP_SYS_RESOURCE"] } };
  const { exec } = planOf(spec({ process }), { host: { ...host, capabilities: allCapabilities & ~(1n << 24n) }, warn: (message) => warnings.push(message) });
  assert.deepEqual(exec.capabilities?.bounding, 0x20n);
  assert.deepEqual(warnings, ["process.capabilities.bounding: this machine cannot give CAP_SYS_RESOURCE, the container goes without"]);
});

test("a terminal has a console of the size asked for", () => {
  const plan = planOf(spec({ process: { ...base.process!, terminal: true, consoleSize: { width: 80, height: 24 } } }), { consoleSize: { width: 100, height: 30 } });
  assert.deepEqual(child(plan, "console"), [{ op: "console", width: 100, height: 30 }]);
  assert.ok(plan.exec.terminal);
});

test("user and time namespaces", () => {
  const plan = planOf(spec({}, { namespaces: [{ type: "mount" }, { type: "user" }, { type: "time" }], uidMappings: [{ containerID: 0, hostID: 1000, size: 5 }], gidMappings: [{ containerID: 0, hostID: 2000, size: 6 }], timeOffsets: { boottime: { secs: 7 } } }));
  assert.deepEqual(plan.parent, [{ op: "idMaps", uid: "0 1000 5\n", gid: "0 2000 6\n", setgroups: "allow" }]);
  assert.deepEqual(child(plan, "timeOffsets"), [{ op: "timeOffsets", text: "boottime 7 0\n" }]);
});

test("propagation of the root: slave unless asked for", () => {
  assert.deepEqual(child(planOf(base), "rootPropagation"), [{ op: "rootPropagation", propagation: "slave", recursive: true }]);
  const shared = planOf(spec({}, { rootfsPropagation: "rshared" }));
  assert.deepEqual(child(shared, "rootfsPropagation"), [{ op: "rootfsPropagation", propagation: "shared", recursive: true }]);
});

test("hooks run before the root is changed, with the container's state", () => {
  const plan = planOf(spec({ hooks: { createRuntime: [{ path: "/bin/hook", args: ["hook", "a"], env: ["A=b"], timeout: 5 }], startContainer: [{ path: "/in" }] }, annotations: { a: "b" } }));
  assert.deepEqual(child(plan, "hook").map(({ state, ...hook }) => [hook, JSON.parse(state!)]), [
    [{ op: "hook", path: "/bin/hook", args: ["hook", "a"], env: ["A=b"], timeoutSeconds: 5, stage: "createRuntime" }, { ociVersion: "1.2.0", id: "c", status: "creating", pid: 0, bundle: "/bundle", annotations: { a: "b" } }],
    [{ op: "hook", path: "/in", args: ["/in"], env: [], timeoutSeconds: 0, stage: "startContainer", inheritEnv: true }, { ociVersion: "1.2.0", id: "c", status: "created", pid: 0, bundle: "/bundle", annotations: { a: "b" } }],
  ]);
  const outer = spec({ hooks: { poststart: [{ path: "/a" }], poststop: [{ path: "/b" }] } });
  assert.deepEqual(child(planOf(outer), "hook").map(({ stage }) => stage), ["poststart"]);
  assert.deepEqual(planOf(outer).teardown.at(-1)?.op, "hook");
  const byCaller = planOf(outer, { outerHooks: true });
  assert.deepEqual([child(byCaller, "hook"), byCaller.teardown.at(-1)?.op], [[], "cgroupRemove"]);
});

test("an exec enters the task's namespaces and groups, and does not make its directory", () => {
  const plan = compileExec({ ...base.process!, args: ["id"], cwd: "/x" }, base, { id: "c", host });
  assert.deepEqual(plan.namespaces, ["mount", "network", "uts", "pid", "ipc"]);
  assert.equal(plan.cgroups.length, 5);
  assert.deepEqual([plan.exec.args, plan.exec.createCwd], [["id"], false]);
});

test("what is unknown or unfinished is refused with its field, before anything is done", () => {
  const process = (change: object): OciSpec => spec({ process: { ...base.process!, ...change } });
  const mount = (change: Partial<OciMount>): OciSpec => spec({ mounts: [{ destination: "/m", ...change }] });
  const refused: [OciSpec, RegExp][] = [
    [spec({ ociVersion: "2.0.0" }), /^GantryError: ociVersion "2\.0\.0"/],
    [{ ...base, process: undefined } as unknown as OciSpec, /process is missing/],
    [process({ args: [] }), /process\.args must not be empty/],
    [process({ cwd: "relative" }), /process\.cwd "relative"/],
    [process({ env: ["NOVALUE"] }), /process\.env\[0\] "NOVALUE"/],
    [process({ user: { uid: -1, gid: 0 } }), /process\.user\.uid -1/],
    [process({ user: { uid: 2 ** 31, gid: 0 } }), /process\.user\.uid 2147483648/],
    [process({ user: { uid: 0, gid: 0, additionalGids: [1.5] } }), /additionalGids\[0\] 1\.5/],
    [process({ rlimits: [{ type: "RLIMIT_X", soft: 0, hard: 0 }] }), /process\.rlimits\[0\]\.type/],
    [process({ rlimits: [{ type: "RLIMIT_CPU", soft: 5, hard: 1 }] }), /process\.rlimits\[0\]: soft limit/],
    [process({ apparmorProfile: "docker-default" }), /process\.apparmorProfile/],
    [process({ selinuxLabel: "x" }), /process\.selinuxLabel/],
    [process({ oomScoreAdj: 5000 }), /process\.oomScoreAdj 5000/],
    [process({ scheduler: { policy: "SCHED_X" } }), /process\.scheduler\.policy/],
    [spec({ process: { ...base.process!, scheduler: { policy: "SCHED_BATCH" } } }, { resources: { cpu: { cpus: "0" } } }), /process\.scheduler: a process scheduler can't be used together with AllowedCPUs/],
    [process({ ioPriority: { class: "constructor" } }), /process\.ioPriority\.class/],
    [mount({ type: "bind" }), /mounts\[0\] \(\/m\)\.source is missing/],
    [mount({}), /mounts\[0\] \(\/m\)\.type is missing/],
    [mount({ type: "bind", source: "/s", options: ["size=5"] }), /option "size" belongs to a file system/],
    [mount({ type: "ext4", source: "/s", options: ["remount"] }), /option "remount"/],
    [mount({ type: "ext4", source: "/s", options: ["tmpcopyup"] }), /option "tmpcopyup"/],
    [mount({ type: "cgroup", options: ["size=5"] }), /unknown option "size" of a cgroup mount/],
    [spec({ mounts: [{ destination: "/", type: "tmpfs" }] }), /cannot be mounted over/],
    ...[{ type: "tmpfs" }, { type: "bind", source: "/" }].map((mounted): [OciSpec, RegExp] => [spec({ mounts: [{ destination: "/a/../proc", ...mounted }] }), /"\/proc" cannot be mounted because it is not of type proc/]),
    ...[{ type: "tmpfs" }, { type: "proc" }, { type: "bind", source: "/proc" }].map((mounted): [OciSpec, RegExp] => [spec({ mounts: [{ destination: "/proc/sys", ...mounted }] }), /"\/proc\/sys" cannot be mounted because it is inside \/proc/]),
    [spec({ hostname: "h" }, { namespaces: [{ type: "mount" }] }), /hostname cannot be set without a uts namespace/],
    [spec({ hooks: { prestart: [{ path: "x" }] } }), /hooks\.prestart\[0\]\.path "x"/],
    [spec({}, { namespaces: [], maskedPaths: ["/proc/kcore"] }), /linux\.maskedPaths cannot be set without a mount namespace/],
    [spec({}, { namespaces: [{ type: "mount" }, { type: "mount" }] }), /linux\.namespaces\[1\]: namespace mount is given twice/],
    [spec({}, { namespaces: [{ type: "moon" as "pid" }] }), /linux\.namespaces\[0\]\.type "moon"/],
    [spec({}, { uidMappings: [{ containerID: 0, hostID: 0, size: 1 }] }), /need a user namespace/],
    ...([
      [[{ containerID: 0, hostID: 0, size: 10 }, { containerID: 9, hostID: 100, size: 1 }], /linux\.uidMappings\[1\]\.containerID 9 is in linux\.uidMappings\[0\] as well/],
      [[{ containerID: 5, hostID: 7, size: 10 }, { containerID: 0, hostID: 0, size: 8 }], /linux\.uidMappings\[0\]\.containerID 5 is in linux\.uidMappings\[1\] as well/],
      [[{ containerID: 0, hostID: 5, size: 1 }, { containerID: 1, hostID: 5, size: 1 }], /linux\.uidMappings\[1\]\.hostID 5 is in/],
      [[{ containerID: 1, hostID: 0, size: 1 }], /linux\.uidMappings: the container's root \(containerID 0\) is not mapped/],
      [[{ containerID: 0, hostID: 2 ** 32 - 1, size: 2 }], /linux\.uidMappings\[0\]\.size 2 goes beyond the last id/],
    ] as const).map(([uidMappings, message]): [OciSpec, RegExp] => [spec({}, { namespaces: [{ type: "mount" }, { type: "user" }], uidMappings: [...uidMappings], gidMappings: [{ containerID: 0, hostID: 0, size: 1 }] }), message]),
    [spec({}, { rootfsPropagation: "x" }), /linux\.rootfsPropagation "x"/],
    [spec({}, { personality: { domain: "BSD" } }), /linux\.personality\.domain "BSD"/],
    [spec({}, { personality: { domain: "LINUX", flags: ["ADDR_NO_RANDOMIZE"] } }), /linux\.personality\.flags \["ADDR_NO_RANDOMIZE"\] are not supported/],
    [spec({}, { devices: [{ path: "/dev/x", type: "q" }] }), /linux\.devices\[0\]\.type "q"/],
    [spec({}, { devices: [{ path: "/dev/x", type: "c" }] }), /linux\.devices\[0\]: major and minor/],
    [spec({}, { maskedPaths: ["proc"] }), /linux\.maskedPaths\[0\] "proc"/],
    [spec({}, { mountLabel: "x" }), /linux\.mountLabel/],
    [spec({}, { intelRdt: { closID: "a" } }), /linux\.intelRdt is not supported/],
    [spec({}, { memoryPolicy: { mode: "MPOL_BIND" } }), /linux\.memoryPolicy\.nodes: memory policy mode requires at least one node/],
    [spec({}, { memoryPolicy: { mode: "MPOL_LOCAL", nodes: "0-1" } }), /linux\.memoryPolicy\.nodes: memory policy mode requires 0 nodes but got 2/],
    [spec({}, { memoryPolicy: { mode: "MPOL_BIND", nodes: "0", flags: ["X"] } }), /linux\.memoryPolicy\.flags\[0\]/],
    [spec({}, { netDevices: { eth0: {} } }), /linux\.netDevices: only gantry-runtime moves network devices/],
    [spec({}, { netDevices: { "a/b": {} } }), /linux\.netDevices\.a\/b: invalid network device name/],
    [spec({}, { resources: { unified: { "memory.high": "1" } } }), /linux\.resources\.unified: invalid configuration/],
    [spec({}, { timeOffsets: { boottime: { secs: 1 } } }), /linux\.timeOffsets need a new time namespace/],
  ];
  for (const [asked, pattern] of refused) assert.throws(() => planOf(asked), pattern);
});
