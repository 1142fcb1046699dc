import assert from "node:assert/strict";
import { test } from "node:test";
import { type ContainerConfig, emptyHostConfig, type HostConfig } from "../../../core/container-config.ts";
import type { ContainerRecord } from "../../../core/container.ts";
import type { OciSpec } from "../../../lib/oci-spec.ts";
import { conflict } from "../../../lib/errors.ts";
import { createContainer } from "../create.ts";
import { fakeContext, request, running } from "../testing/context.ts";
import { buildSpec } from "./build.ts";
import { specForStart } from "./for-start.ts";
import type { SpecInput } from "./host.ts";
import { updateResources } from "./resources.ts";

const files = { hosts: "/c/hosts", hostname: "/c/hostname", resolvConf: "/c/resolv.conf" };

async function input(config: Partial<ContainerConfig>, hostConfig: Partial<HostConfig>, more: Partial<SpecInput> = {}): Promise<SpecInput> {
  const context = fakeContext();
  const { id } = await createContainer(context, request(config, hostConfig));
  return { record: context.store.find(id), sandbox: { files }, host: context.host, settings: context.settings, pidOf: () => 77, ...more };
}
const spec = async (config: Partial<ContainerConfig> = {}, hostConfig: Partial<HostConfig> = {}, more: Partial<SpecInput> = {}): Promise<OciSpec> => buildSpec(await input(config, hostConfig, more));
const mountAt = (built: OciSpec, destination: string) => built.mounts?.find((mount) => mount.destination === destination);
const types = (built: OciSpec) => built.linux?.namespaces?.map(({ type, path }) => (path === undefined ? type : `${type}=${path}`));

test("a container that asks for nothing", async () => {
  const prepared = await input({ Cmd: ["sh", "-c", "x"] }, {});
  const built = buildSpec(prepared);
  const { id } = prepared.record;
  assert.deepEqual(built.process?.args, ["sh", "-c", "x"]);
  assert.deepEqual(built.process?.env, ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", `HOSTNAME=${id.slice(0, 12)}`]);
  assert.deepEqual(built.process?.user, { uid: 0, gid: 0, username: "0" });
  assert.equal(built.process?.cwd, "/");
  assert.equal(built.process?.capabilities?.bounding?.length, 14);
  assert.deepEqual(types(built), ["mount", "network", "uts", "pid", "ipc", "cgroup"]);
  assert.equal(built.linux?.cgroupsPath, `/gantry/${id}`);
  assert.deepEqual(built.linux?.seccomp, { defaultAction: "builtin" });
  assert.deepEqual(built.linux?.sysctl, { "net.ipv4.ping_group_range": "0 2147483647", "net.ipv4.ip_unprivileged_port_start": "0" });
  assert.deepEqual(mountAt(built, "/dev/shm")?.options, ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]);
  assert.deepEqual(built.mounts?.slice(-3).map(({ destination, source }) => [destination, source]), [["/etc/resolv.conf", "/c/resolv.conf"], ["/etc/hostname", "/c/hostname"], ["/etc/hosts", "/c/hosts"]]);
  assert.ok(built.linux?.maskedPaths?.includes("/proc/kcore"));
  assert.equal(built.hostname, id.slice(0, 12));
});

test("environment: a terminal, values that replace, names that take away", async () => {
  const built = await spec({ Tty: true, Env: ["PATH=/x", "TERM", "A=1"], Hostname: "h" });
  assert.deepEqual(built.process?.env, ["PATH=/x", "HOSTNAME=h", "A=1"]);
});

test("privileged: every capability and device, nothing masked, no filter, writable /sys and cgroups", async () => {
  const built = await spec({}, { Privileged: true, Devices: [{ PathOnHost: "/dev/null", PathInContainer: "/dev/mine", CgroupPermissions: "r" }] });
  assert.equal(built.process?.capabilities?.effective?.length, 41);
  assert.deepEqual(built.linux?.devices?.map(({ path }) => path), ["/dev/fuse", "/dev/mine"]);
  assert.deepEqual(built.linux?.resources?.devices, [{ allow: true, access: "rwm" }]);
  assert.deepEqual([built.linux?.maskedPaths, built.linux?.readonlyPaths, built.linux?.seccomp], [[], [], undefined]);
  assert.ok(!mountAt(built, "/sys")?.options?.includes("ro"));
  assert.ok(!mountAt(built, "/sys/fs/cgroup")?.options?.includes("ro"));
});

test("capabilities: add, drop, all but some", async () => {
  const bounding = async (hostConfig: Partial<HostConfig>) => (await spec({}, hostConfig)).process?.capabilities?.bounding ?? [];
  assert.deepEqual(await bounding({ CapDrop: ["ALL"], CapAdd: ["net_admin", "CAP_SYS_TIME"] }), ["CAP_NET_ADMIN", "CAP_SYS_TIME"]);
  assert.ok(!(await bounding({ CapDrop: ["chown"] })).includes("CAP_CHOWN"));
  const most = await bounding({ CapAdd: ["all"], CapDrop: ["SYS_ADMIN"] });
  assert.ok(most.length === 40 && !most.includes("CAP_SYS_ADMIN"));
});

test("namespaces of the host and of other containers", async () => {
  const host = await spec({}, { PidMode: "host", IpcMode: "host", UTSMode: "host", NetworkMode: "host", CgroupnsMode: "host" });
  assert.deepEqual(types(host), ["mount"]);
  assert.equal(host.hostname, undefined);
  assert.deepEqual(host.linux?.sysctl, {});
  const prepared = await input({}, {});
  prepared.record.hostConfig.PidMode = "container:other";
  prepared.sandbox = { netnsPath: "/proc/9/ns/net" };
  assert.deepEqual(types(buildSpec(prepared)), ["mount", "network=/proc/9/ns/net", "uts", "pid=/proc/77/ns/pid", "ipc", "cgroup"]);
  prepared.pidOf = (ref) => {
    throw conflict(`container ${ref} is not running`);
  };
  assert.throws(() => buildSpec(prepared), { code: "conflict", message: "failed to join PID namespace: container other is not running" });
});

test("binds: recursion, read-only, propagation", async () => {
  const built = await spec({}, { Binds: ["/etc:/a:ro", "/shared/x:/b:rshared"] });
  assert.deepEqual(mountAt(built, "/a")?.options, ["rbind", "rro", "rprivate"]);
  assert.deepEqual(mountAt(built, "/b")?.options, ["rbind", "rshared"]);
  assert.equal(built.linux?.rootfsPropagation, "shared");
  await assert.rejects(spec({}, { Binds: ["/etc:/a:rslave"] }), { message: "path /etc is mounted on / but it is not a shared or slave mount" });
  assert.equal((await spec({}, { Binds: ["/slave:/a:rslave"] })).linux?.rootfsPropagation, "rslave");
});

test("mounts replace Docker's own, deep ones come last, a user's /dev hides what is below", async () => {
  const built = await spec({}, { Tmpfs: { "/dev": "size=1m,exec", "/a/b": "" }, Binds: ["/etc:/a", "/etc/hosts:/etc/hosts"] });
  const order = built.mounts?.map(({ destination }) => destination) ?? [];
  assert.ok(!order.includes("/dev/pts") && order.indexOf("/a") < order.indexOf("/a/b"));
  assert.deepEqual(mountAt(built, "/dev")?.options, ["nosuid", "nodev", "rprivate", "size=1m", "exec"]);
  assert.equal(built.mounts?.filter(({ destination }) => destination === "/etc/hosts").length, 1);
  await assert.rejects(spec({}, { Tmpfs: { "/x": "nosuch=1" } }), { code: "system", message: 'invalid tmpfs option "nosuch"' });
});

test("a read-only root makes Docker's own mounts and files read-only", async () => {
  const built = await spec({}, { ReadonlyRootfs: true, Tmpfs: { "/t": "" } });
  assert.equal(built.root?.readonly, true);
  assert.ok(mountAt(built, "/etc/hosts")?.options?.includes("ro"));
  assert.ok(!mountAt(built, "/t")?.options?.includes("ro") && !mountAt(built, "/dev")?.options?.includes("ro"));
});

test("processes of containers that say nothing have the daemon's limit, but for privileged ones", async () => {
  const one = await input({}, {});
  const limit = (change: Partial<HostConfig>, pidsLimit = 99): number | undefined => buildSpec({ ...one, record: { ...one.record, hostConfig: { ...one.record.hostConfig, ...change } }, settings: { ...one.settings, pidsLimit } }).linux?.resources?.pids?.limit;
  assert.deepEqual([limit({}), limit({ PidsLimit: 0 }), limit({ PidsLimit: 5 }), limit({ PidsLimit: -1 })], [99, -1, 5, -1]);
  assert.deepEqual([limit({ Privileged: true }), limit({}, 0), limit({ PidsLimit: 0 }, 0)], [undefined, undefined, -1]);
  assert.deepEqual([updateResources({ ...emptyHostConfig(), PidsLimit: 0 }, one.host, 99).pids, updateResources(emptyHostConfig(), one.host, 99).pids], [{ limit: -1 }, undefined]);
});

test("limits", async () => {
  const built = await spec({}, { Memory: 64 << 20, NanoCpus: 5e8, CpusetCpus: "0-1", PidsLimit: 5, Ulimits: [{ Name: "nofile", Soft: 1, Hard: 2 }], BlkioDeviceReadBps: [{ Path: "/dev/null", Rate: 9 }], OomScoreAdj: 5 });
  assert.deepEqual(built.linux?.resources?.memory, { limit: 64 << 20, swap: 128 << 20 });
  assert.deepEqual(built.linux?.resources?.cpu, { cpus: "0-1", period: 100_000, quota: 50_000 });
  assert.deepEqual(built.linux?.resources?.pids, { limit: 5 });
  assert.deepEqual(built.linux?.resources?.blockIO, { throttleReadBpsDevice: [{ major: 1, minor: 3, rate: 9 }] });
  assert.deepEqual(built.process?.rlimits, [{ type: "RLIMIT_NOFILE", soft: 1, hard: 2 }]);
  assert.equal(built.process?.oomScoreAdj, 5);
  await assert.rejects(spec({}, { BlkioDeviceReadBps: [{ Path: "/dev/none", Rate: 9 }] }), /stat \/dev\/none: no such file or directory/);
});

test("devices: one, a folder, rules", async () => {
  const built = await spec({}, { Devices: [{ PathOnHost: "/dev/null", PathInContainer: "/dev/n", CgroupPermissions: "r" }, { PathOnHost: "/dev/folder", PathInContainer: "/dev/f", CgroupPermissions: "rwm" }], DeviceCgroupRules: ["c 10:* rw"] });
  assert.deepEqual(built.linux?.devices?.map(({ path }) => path), ["/dev/n", "/dev/f/a"]);
  assert.deepEqual(built.linux?.resources?.devices?.slice(-3), [
    { allow: true, type: "c", major: 1, minor: 3, access: "r" },
    { allow: true, type: "b", major: 8, minor: 1, access: "rwm" },
    { allow: true, type: "c", major: 10, access: "rw" },
  ]);
  await assert.rejects(spec({}, { Devices: [{ PathOnHost: "/dev/none", PathInContainer: "/dev/n", CgroupPermissions: "r" }] }), { message: 'error gathering device information while adding custom device "/dev/none": no such file or directory' });
  await assert.rejects(spec({}, { DeviceCgroupRules: ["x"] }), { code: "invalid-parameter", message: "invalid device cgroup rule format: 'x'" });
});

test("security options, init, sysctls, annotations, groups", async () => {
  const built = await spec({ Cmd: ["a"], User: "u:g" }, { SecurityOpt: ["no-new-privileges", "seccomp={}"], Init: true, Sysctls: { "net.core.somaxconn": "9" }, Annotations: { a: "b" }, GroupAdd: ["staff"], CgroupParent: "/p" });
  assert.equal(built.process?.noNewPrivileges, true);
  assert.deepEqual(built.linux?.seccomp, { defaultAction: "{}" });
  assert.deepEqual(built.process?.args, ["/sbin/docker-init", "--", "a"]);
  assert.deepEqual(mountAt(built, "/sbin/docker-init"), { destination: "/sbin/docker-init", type: "bind", source: "/opt/init", options: ["bind", "ro"] });
  assert.equal(built.linux?.sysctl?.["net.core.somaxconn"], "9");
  assert.deepEqual(built.annotations, { a: "b" });
  assert.deepEqual(built.process?.user, { uid: 0, gid: 0, username: "u:g", additionalGroups: ["staff"] });
  assert.match(built.linux?.cgroupsPath ?? "", /^\/p\/[0-9a-f]{64}$/);
});

test("shared memory: own, of the host, offered, of another container", async () => {
  const context = fakeContext();
  const make = async (name: string, IpcMode: string): Promise<ContainerRecord> => context.store.find((await createContainer(context, { ...request({}, { IpcMode }), name })).id);
  const shm = async (record: ContainerRecord) => mountAt(await specForStart(context, record, {}), "/dev/shm");
  const offering = await make("offering", "shareable");
  assert.deepEqual(await shm(offering), { destination: "/dev/shm", type: "bind", source: `/run/shm/${offering.id}`, options: ["rbind", "rprivate"] });
  assert.equal((await shm(await make("host", "host")))?.source, "/dev/shm");
  assert.equal(await shm(await make("none", "none")), undefined);
  const joining = await make("joining", "container:offering");
  await assert.rejects(shm(joining), { code: "conflict", message: `failed to join IPC namespace: container ${offering.id} is not running` });
  running(offering, 1n, 7);
  assert.equal((await shm(joining))?.source, `/run/shm/${offering.id}`);
  assert.deepEqual(types(await specForStart(context, joining, {})), ["mount", "network", "uts", "pid", "ipc=/proc/7/ns/ipc", "cgroup"]);
  const own = running(await make("own", "private"), 1n);
  const refused = await make("refused", "container:own");
  await assert.rejects(shm(refused), { code: "invalid-parameter", message: `failed to join IPC namespace: container ${own.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)` });
});
