import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import type { OciResources } from "../../lib/oci-spec.ts";
import { containerGroups } from "./groups.ts";
import type { CgroupLayout } from "./layout.ts";
import { detectLayout } from "./layout.ts";
import type { GroupWrite } from "./resources.ts";
import { newGroupWrites, updateWrites } from "./resources.ts";
import { weightOfShares } from "./v2/cpu.ts";

const controllers = ["cpu", "cpuset", "memory", "devices", "pids", "blkio", "hugetlb", "net_cls", "net_prio", "rdma"];
const v1: CgroupLayout = {
  mode: "v1",
  hierarchies: controllers.map((name) => ({ version: 1, mountpoint: `/cg/${name}`, controllers: [name], ownPath: "/" })),
  files: new Set(["memory.memsw.limit_in_bytes", "blkio.bfq.weight", "blkio.bfq.weight_device"]),
};
const v2: CgroupLayout = { mode: "v2", hierarchies: [{ version: 2, mountpoint: "/cg", controllers: ["cpu", "cpuset", "memory", "pids", "io", "hugetlb", "rdma"], ownPath: "/" }], files: new Set() };

const show = (writes: GroupWrite[]): string[] => writes.filter((write) => !write.path.includes("devices.")).map((write) => (write.kind === "write" ? `${write.path.slice(4)}=${write.data}` : "program"));
const writesOf = (layout: CgroupLayout, resources: OciResources): string[] => show(newGroupWrites(containerGroups(layout, "/g", "c"), resources, layout.files));
const updatesOf = (layout: CgroupLayout, resources: OciResources, current: Record<string, string>): string[] =>
  show(updateWrites(containerGroups(layout, "/g", "c"), resources, { files: layout.files, read: (path) => current[path.split("/").at(-1)!] }));

test("v1: every limit has its file", () => {
  assert.deepEqual(
    writesOf(v1, {
      cpu: { shares: 512, period: 100_000, quota: 50_000, burst: 1000, cpus: "0-1", mems: "0", idle: 1, realtimePeriod: 9, realtimeRuntime: 8 },
      memory: { limit: 1 << 20, swap: 1 << 21, reservation: 1 << 19, swappiness: 0, disableOOMKiller: true, kernelTCP: 5 },
      pids: { limit: 100 },
      blockIO: { weight: 300, weightDevice: [{ major: 8, minor: 0, weight: 200 }], throttleReadBpsDevice: [{ major: 8, minor: 16, rate: 1024 }], throttleWriteIOPSDevice: [{ major: 8, minor: 0, rate: 7 }] },
      hugepageLimits: [{ pageSize: "2MB", limit: 4096 }],
      network: { classID: 0x100001, priorities: [{ name: "eth0", priority: 5 }] },
      rdma: { mlx5_1: { hcaHandles: 3, hcaObjects: 4 } },
    }),
    [
      "cpu/g/cpu.shares=512", "cpu/g/cpu.idle=1", "cpu/g/cpu.cfs_period_us=100000", "cpu/g/cpu.cfs_quota_us=50000", "cpu/g/cpu.cfs_burst_us=1000", "cpu/g/cpu.rt_period_us=9", "cpu/g/cpu.rt_runtime_us=8",
      "cpuset/g/cpuset.cpus=0-1", "cpuset/g/cpuset.mems=0",
      "memory/g/memory.limit_in_bytes=1048576", "memory/g/memory.memsw.limit_in_bytes=2097152", "memory/g/memory.soft_limit_in_bytes=524288", "memory/g/memory.kmem.tcp.limit_in_bytes=5", "memory/g/memory.oom_control=1", "memory/g/memory.swappiness=0",
      "pids/g/pids.max=100",
      "blkio/g/blkio.bfq.weight=300", "blkio/g/blkio.bfq.weight_device=8:0 200", "blkio/g/blkio.throttle.read_bps_device=8:16 1024", "blkio/g/blkio.throttle.write_iops_device=8:0 7",
      "hugetlb/g/hugetlb.2MB.limit_in_bytes=4096", "hugetlb/g/hugetlb.2MB.rsvd.limit_in_bytes=4096",
      "net_cls/g/net_cls.classid=1048577", "net_prio/g/net_prio.ifpriomap=eth0 5", "rdma/g/rdma.max=mlx5_1 hca_handle=3 hca_object=4",
    ],
  );
});

test("v2: the same limits in its files and units", () => {
  assert.deepEqual(
    writesOf(v2, {
      cpu: { shares: 1024, quota: 50_000, burst: 1000, cpus: "0" },
      memory: { limit: 1 << 20, swap: 1 << 21, reservation: 1 << 19 },
      pids: { limit: -1 },
      blockIO: { weight: 500, throttleWriteBpsDevice: [{ major: 8, minor: 0, rate: 10 }] },
      hugepageLimits: [{ pageSize: "2MB", limit: 0 }],
      unified: { "memory.high": "max" },
    }),
    [
      "g/memory.swap.max=1048576", "g/memory.max=1048576", "g/memory.low=524288", "g/cpuset.cpus=0", "g/cpu.weight=100", "g/cpu.max=50000 100000", "g/cpu.max.burst=1000", "g/pids.max=max",
      "g/io.weight=default 4950", "g/io.max=8:0 wbps=10", "g/hugetlb.2MB.max=0", "g/hugetlb.2MB.rsvd.max=0", "g/memory.high=max", "program",
    ],
  );
});

test("shares and weights meet at the default and at both ends", () => {
  assert.equal(weightOfShares(undefined), undefined);
  assert.deepEqual([2, 1024, 262_144].map(weightOfShares), [1, 100, 10_000]);
});

test("raising memory and swap of a running container writes swap first, lowering writes memory first", () => {
  const names = (resources: OciResources, current: string): string[] => updatesOf(v1, resources, { "memory.limit_in_bytes": current }).map((write) => write.split("/").at(-1)!.split("=")[0]!);
  assert.deepEqual(names({ memory: { limit: 2000, swap: 3000 } }, "1000"), ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes"]);
  assert.deepEqual(names({ memory: { limit: 500, swap: 600 } }, "1000"), ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]);
  assert.deepEqual(names({ memory: { limit: -1 } }, "1000"), ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes"]);
});

test("an update changes only what it names, and needs no device rules", () => {
  const groups = containerGroups(v1, "/g", "c");
  assert.deepEqual(updateWrites(groups, { pids: { limit: 7 } }, { files: v1.files, read: () => undefined }), [{ kind: "write", path: "/cg/pids/g/pids.max", data: "7" }]);
  assert.deepEqual(updatesOf(v2, { cpu: { quota: -1 } }, { "cpu.max": "50000 20000\n" }), ["g/cpu.max=max 20000"]);
  assert.deepEqual(updatesOf(v2, { cpu: { period: 30_000 } }, { "cpu.max": "50000 20000\n" }), ["g/cpu.max=50000 30000"]);
});

test("an update of quota, period and burst never passes through a refused combination", () => {
  assert.deepEqual(updatesOf(v1, { cpu: { quota: 1000, period: 2000, burst: 500 } }, {}), ["cpu/g/cpu.cfs_burst_us=0", "cpu/g/cpu.cfs_period_us=2000", "cpu/g/cpu.cfs_quota_us=1000", "cpu/g/cpu.cfs_period_us=2000", "cpu/g/cpu.cfs_burst_us=500"]);
});

test("checkBeforeUpdate refuses a limit below what is in use", () => {
  assert.throws(() => updatesOf(v2, { memory: { limit: 100, checkBeforeUpdate: true } }, { "memory.current": "200\n" }), /memory\.limit 100 is below/);
});

test("what the machine or the version cannot do is refused with the field's name", () => {
  const bare: CgroupLayout = { mode: "v1", hierarchies: [], files: new Set() };
  const refused: [CgroupLayout, OciResources, RegExp][] = [
    [bare, { memory: { limit: 1 } }, /linux\.resources\.memory is not supported: this machine has no memory/],
    [bare, { cpu: { shares: 1 } }, /linux\.resources\.cpu is not supported/],
    [bare, { cpu: { cpus: "0" } }, /linux\.resources\.cpu\.cpus is not supported/],
    [bare, { hugepageLimits: [{ pageSize: "2MB", limit: 1 }] }, /linux\.resources\.hugepageLimits/],
    [{ ...v1, files: new Set() }, { memory: { limit: 1, swap: 2 } }, /memory\.swap is not supported/],
    [{ ...v1, files: new Set() }, { blockIO: { weight: 10 } }, /blockIO\.weight is not supported/],
    [v1, { memory: { kernel: 5 } }, /memory\.kernel is not supported/],
    [v1, { memory: { swappiness: 101 } }, /memory\.swappiness 101/],
    [v1, { unified: { "memory.high": "1" } }, /unified is not supported/],
    [v2, { unified: { "../x": "1" } }, /unified: "\.\.\/x" is not the name/],
    [v1, { memory: { useHierarchy: false } }, /memory\.useHierarchy is not supported/],
    [{ ...v1, files: new Set() }, { blockIO: { leafWeight: 10 } }, /blockIO\.leafWeight is not supported/],
    [{ ...v1, files: new Set() }, { blockIO: { weightDevice: [{ major: 8, minor: 0, leafWeight: 10 }] } }, /blockIO\.weightDevice is not supported/],
    [v2, { blockIO: { leafWeight: 10 } }, /blockIO\.leafWeight is not supported/],
    [v2, { blockIO: { weightDevice: [{ major: 8, minor: 0, leafWeight: 10 }] } }, /blockIO\.weightDevice is not supported/],
    [v2, { memory: { kernelTCP: 5 } }, /memory\.kernelTCP is not supported/],
    [v2, { cpu: { realtimePeriod: 5 } }, /cpu\.realtimePeriod is not supported/],
    [v2, { cpu: { realtimeRuntime: 5 } }, /cpu\.realtimeRuntime is not supported/],
    [v2, { memory: { swappiness: 5 } }, /memory\.swappiness is not supported/],
    [v2, { memory: { disableOOMKiller: true } }, /memory\.disableOOMKiller is not supported/],
    [v2, { memory: { limit: 10, swap: 5 } }, /memory\.swap 5 is below/],
    [v2, { network: { classID: 1 } }, /linux\.resources\.network is not supported/],
  ];
  for (const [layout, resources, pattern] of refused) assert.throws(() => writesOf(layout, resources), pattern);
});

test("fields that ask for nothing need no controller", () => {
  const bare: CgroupLayout = { mode: "v1", hierarchies: [], files: new Set() };
  assert.deepEqual(writesOf(bare, { memory: {}, cpu: {}, blockIO: { weightDevice: [] }, hugepageLimits: [], pids: {} }), []);
});

const layout = process.getuid?.() === 0 ? detectLayout() : undefined;
const skip = layout && layout.mode !== "none" && layout.mode !== "v2" ? false : "needs root and cgroup v1";

test("this machine's kernel takes the writes", { skip }, () => {
  const groups = containerGroups(layout!, `/gantry-test-${process.pid}`, "c");
  try {
    for (const group of groups) mkdirSync(group.path);
    const resources: OciResources = { devices: [{ allow: false }, { allow: true, type: "c", major: 1, minor: 5, access: "rwm" }], memory: { limit: 64 << 20, swap: 128 << 20 }, pids: { limit: 33 }, cpu: { shares: 77, quota: 50_000, period: 100_000 } };
    for (const write of newGroupWrites(groups, resources, layout!.files)) if (write.kind === "write") writeFileSync(write.path, write.data);
    const read = (path: string): string | undefined => (existsSync(path) ? readFileSync(path, "utf8") : undefined);
    const valueOf = (file: string): string | undefined => groups.map(({ path }) => read(`${path}/${file}`)).find((text) => text !== undefined)?.trim();
    assert.equal(valueOf("memory.memsw.limit_in_bytes"), String(128 << 20));
    assert.equal(valueOf("pids.max"), "33");
    assert.equal(valueOf("cpu.cfs_quota_us"), "50000");
    assert.match(valueOf("devices.list")!, /^c 1:5 rwm$/m);
    assert.doesNotMatch(valueOf("devices.list")!, /^a /m);
    for (const memory of [{ limit: 256 << 20, swap: 512 << 20 }, { limit: 32 << 20, swap: 40 << 20 }, { limit: -1 }]) {
      for (const write of updateWrites(groups, { memory }, { files: layout!.files, read })) if (write.kind === "write") writeFileSync(write.path, write.data);
    }
  } finally {
    for (const group of groups) if (existsSync(group.path)) rmdirSync(group.path);
  }
});
