import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { ChildOp } from "../plan/types.ts";
import { externalMounts, externalNamespaces, inheritedStreams, joinedByCriu, logHint, maskedPaths, readDescriptors } from "./images.ts";
import { makeMountpoints } from "./mountpoints.ts";

const attributes = { set: 0n, clear: 0n, recursiveSet: 0n, recursiveClear: 0n };
const bind = (target: string, source: string): ChildOp => ({ op: "bind", source, target, recursive: true, attributes, create: "like-source" });
const fileSystem = (target: string, fstype = "tmpfs"): ChildOp => ({ op: "mount", fstype, source: fstype, target, options: [], attributes, create: "dir" });

test("external mounts: binds, devices, groups of the host; id maps are refused", () => {
  const ops: ChildOp[] = [
    bind("/data", "/srv"),
    fileSystem("/tmp"),
    { op: "mknod", target: "/dev/null", type: "c", major: 1, minor: 3, mode: 0o666, uid: 0, gid: 0, bindFallback: true },
    { op: "mknod", target: "/dev/pipe", type: "p", major: 0, minor: 0, mode: 0o666, uid: 0, gid: 0, bindFallback: false },
    { op: "cgroupMount", target: "/sys/fs/cgroup", hierarchies: [{ name: "pids", controllers: "pids", links: [], hostPath: "/sys/fs/cgroup/pids/c" }, { name: "cpu", controllers: "cpu", links: [], hostPath: "" }], unified: false, readonly: true, attributes },
    { op: "maskPath", target: "/proc/kcore" },
  ];
  assert.deepEqual(externalMounts(ops), [
    { target: "/data", source: "/srv" },
    { target: "/dev/null", source: "/dev/null" },
    { target: "/sys/fs/cgroup/pids", source: "/sys/fs/cgroup/pids/c" },
  ]);
  assert.deepEqual(maskedPaths(ops), ["/proc/kcore"]);
  assert.throws(() => externalMounts([{ ...(bind("/m", "/s") as ChildOp & { op: "bind" }), idmap: { uid: "", gid: "", recursive: false } }]), /the mount at \/m maps ids, which criu does not save/);
});

test("namespaces: those that stay outside, those that criu joins, and one that nobody can", () => {
  const spec = { ociVersion: "1.2.0", linux: { namespaces: [{ type: "network" as const, path: "/run/netns/a" }, { type: "pid" as const }, { type: "ipc" as const, path: "/proc/7/ns/ipc" }] } };
  assert.deepEqual(externalNamespaces(spec), [{ name: "net", key: "extRootNetNS", path: "/run/netns/a" }]);
  assert.deepEqual(joinedByCriu(spec), [["ipc", "/proc/7/ns/ipc"]]);
  assert.throws(() => joinedByCriu({ ociVersion: "1.2.0", linux: { namespaces: [{ type: "cgroup", path: "/x" }] } }), /cannot join a cgroup namespace/);
});

test("streams by name, and what is no list of them", () => {
  using folder = temporary();
  assert.deepEqual(inheritedStreams(["pipe:[5]", "file[1b:2]", "/dev/pts/0"]), [["pipe:[5]", 0], ["ile[1b:2]", 1]]);
  writeFileSync(join(folder.path, "descriptors.json"), '["pipe:[5]","/dev/null",""]');
  assert.deepEqual(readDescriptors(folder.path), ["pipe:[5]", "/dev/null", ""]);
  for (const text of ["{}", "[1]", "["]) {
    writeFileSync(join(folder.path, "descriptors.json"), text);
    assert.throws(() => readDescriptors(folder.path), /there is no checkpoint of a container/);
  }
  writeFileSync(join(folder.path, "log"), "a\n1: Error (x.c:1): one\nb\n2: Error (x.c:2): two\n");
  assert.match(logHint(join(folder.path, "log")), /log ends with: 1: Error \(x\.c:1\): one \| 2: Error \(x\.c:2\): two$/);
});

test("missing mountpoints are made in the root and in what is bound, never outside of them", () => {
  using folder = temporary();
  const path = (...names: string[]): string => join(folder.path, ...names);
  for (const name of ["root", "outside", "bound", "root/safe"]) mkdirSync(path(name));
  writeFileSync(path("file"), "");
  symlinkSync(path("outside"), path("root/out"));
  symlinkSync("/safe", path("root/in"));
  makeMountpoints([fileSystem("/proc", "proc"), bind("/a/b", path("bound")), bind("/a/b/c/d", path("outside")), bind("/a/b/f", path("file")), bind("/in/deep", path("bound")), fileSystem("/tmp"), bind("/tmp/x", path("bound"))], path("root"));
  for (const made of ["root/proc", "root/a/b", "bound/c/d", "root/safe/deep", "root/tmp"]) assert.ok(statSync(path(made)).isDirectory(), made);
  assert.equal(readFileSync(path("bound/f"), "utf8"), "");
  assert.equal(existsSync(path("root/tmp/x")), false);
  // The link leads to a place in the root that is not there; nothing appears at the host's place of that name.
  assert.throws(() => makeMountpoints([bind("/out/new", path("bound"))], path("root")));
  assert.equal(existsSync(path("outside/new")), false);
  assert.throws(() => makeMountpoints([bind("/m", path("none"))], path("root")), /the source of a bind mount: .*no such file/i);
});

function temporary(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), "gantry-criu-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}
