import assert from "node:assert/strict";
import { test } from "node:test";
import { containerGroups, freezerFile, groupOf, processesPath } from "./groups.ts";
import type { CgroupLayout } from "./layout.ts";
import { parseLayout } from "./layout.ts";

const source = (mountinfo: string, cgroup: string): CgroupLayout => parseLayout({ mountinfo, cgroup, controllersOf: () => ["cpu", "memory"], filesOf: (mountpoint) => [`file-of-${mountpoint}`] });

const hybrid = source(
  `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset,clone_children
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/lib/x,name=systemd
42 31 0:40 / /sys/fs/cgroup/elogind rw,relatime - cgroup cgroup rw,none,name=elogind
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:5 - cgroup2 cgroup2 rw,nsdelegate`,
  "9:name=systemd:/user.slice\n4:memory:/jobs/one\n3:cpuset:/\n2:cpu,cpuacct:/a\n0::/init.scope\n",
);

test("a hybrid machine: controllers, names and this process's own groups", () => {
  assert.equal(hybrid.mode, "hybrid");
  assert.deepEqual(
    hybrid.hierarchies.map(({ version, mountpoint, controllers, ownPath }) => [version, mountpoint, controllers.join(), ownPath]),
    [
      [1, "/sys/fs/cgroup/cpu,cpuacct", "cpu,cpuacct", "/a"],
      [1, "/sys/fs/cgroup/cpuset", "cpuset", "/"],
      [1, "/sys/fs/cgroup/memory", "memory", "/jobs/one"],
      [1, "/sys/fs/cgroup/systemd", "name=systemd", "/user.slice"],
      [1, "/sys/fs/cgroup/elogind", "name=elogind", "/"],
      [2, "/sys/fs/cgroup/unified", "cpu,memory", "/init.scope"],
    ],
  );
  assert.ok(hybrid.files.has("file-of-/sys/fs/cgroup/memory"));
});

test("a v2 machine, and one without cgroups", () => {
  const v2 = source("31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/user.slice/x\n");
  assert.equal(v2.mode, "v2");
  assert.equal(v2.hierarchies[0]?.ownPath, "/user.slice/x");
  assert.equal(source("", "").mode, "none");
});

test("inside a container, own paths are relative to what is mounted", () => {
  const layout = source("35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n", "4:memory:/docker/abc/child\n");
  assert.equal(layout.hierarchies[0]?.ownPath, "/child");
});

test("spaces in mount points are unescaped", () => {
  assert.equal(source("35 31 0:32 / /mnt/my\\040groups rw - cgroup2 none rw\n", "").hierarchies[0]?.mountpoint, "/mnt/my groups");
});

test("an absolute cgroupsPath starts at the mount point, a relative one at the own group, none is the id", () => {
  const pathsOf = (path: string | undefined): string[] => containerGroups(hybrid, path, "c1").map((group) => group.path);
  assert.deepEqual(pathsOf("/gantry/c1"), [
    "/sys/fs/cgroup/cpu,cpuacct/gantry/c1",
    "/sys/fs/cgroup/cpuset/gantry/c1",
    "/sys/fs/cgroup/memory/gantry/c1",
    "/sys/fs/cgroup/systemd/gantry/c1",
    "/sys/fs/cgroup/unified/gantry/c1",
  ]);
  assert.equal(pathsOf("below")[2], "/sys/fs/cgroup/memory/jobs/one/below");
  assert.equal(pathsOf(undefined)[2], "/sys/fs/cgroup/memory/jobs/one/c1");
});

test("a cgroupsPath that leaves its hierarchy, or is its root, is refused", () => {
  assert.throws(() => containerGroups(hybrid, "/a/../../b", "c"), /cgroupsPath/);
  assert.throws(() => containerGroups(hybrid, "/", "c"), /root of the hierarchy/);
});

test("controllers, processes and freezer are found", () => {
  const groups = containerGroups(hybrid, "/g", "c");
  assert.equal(groupOf(groups, "cpuacct")?.path, "/sys/fs/cgroup/cpu,cpuacct/g");
  assert.equal(groupOf(groups, "pids"), undefined);
  assert.equal(processesPath(groups), "/sys/fs/cgroup/unified/g/cgroup.procs");
  assert.equal(freezerFile(groups)?.path, "/sys/fs/cgroup/unified/g/cgroup.freeze");
  assert.equal(freezerFile([]), undefined);
});
