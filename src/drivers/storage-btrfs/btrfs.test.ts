import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, linkSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { snapshotterContract } from "../../core/snapshotter.contract.ts";
import { createSubvolume } from "../../sys/btrfs.ts";
import { makeLoopDisk } from "../../sys/loop-disk.testing.ts";
import { create } from "./index.ts";

const disk = makeLoopDisk({ format: "mkfs.btrfs -q", megabytes: 512 });
const parent = `sha256:${"a".repeat(64)}`;

if ("missing" in disk) test("btrfs", { skip: `needs ${disk.missing}` });
else {
  after(() => disk[Symbol.dispose]());
  snapshotterContract("btrfs", create, ([mount]) => {
    assert.ok(mount?.type === "bind");
    return { path: mount.source, [Symbol.dispose]: () => undefined };
  }, () => disk.dir);

  const withContainer = async (run: (root: string, snapshotter: ReturnType<typeof create>, dir: string) => Promise<void>, options?: Parameters<typeof create>[1]): Promise<void> => {
    const dir = mkdtempSync(join(disk.dir, "gantry-btrfs-"));
    const snapshotter = create(dir, options);
    try {
      await snapshotter.prepare("unpack-1");
      await using target = await snapshotter.unpackTarget("unpack-1");
      for (const name of ["file", "mode", "attribute", "twin", "times", "linked", "gone", "replaced"]) writeFileSync(join(target.path, name), name);
      for (const name of ["folder", "moved"]) mkdirSync(join(target.path, name));
      writeFileSync(join(target.path, "moved", "inside"), "");
      symlinkSync("file", join(target.path, "link"));
      await snapshotter.commit("unpack-1", parent);
      await snapshotter.prepare("container", parent);
      const [mount] = snapshotter.mounts("container");
      assert.ok(mount?.type === "bind");
      await run(mount.source, snapshotter, dir);
    } finally {
      for (const { key } of snapshotter.list()) await snapshotter.remove(key);
      await snapshotter.settled();
      assert.deepEqual(readdirSync(join(dir, "trash"), { recursive: true }).sort(), ["0", "1"]);
      rmSync(dir, { recursive: true });
    }
  };

  test("btrfs: changes are found exactly, also those that leave size and time as they were", () =>
    withContainer(async (root, snapshotter) => {
      const path = (name: string): string => join(root, name);
      readFileSync(path("file"));
      assert.deepEqual(await snapshotter.diff("container"), []);
      chmodSync(path("mode"), 0o600);
      chownSync(path("attribute"), 1, 1);
      const { atime, mtime } = statSync(path("twin"));
      writeFileSync(path("twin"), "niwt");
      utimesSync(path("twin"), atime, mtime);
      linkSync(path("linked"), path("another"));
      rmSync(path("gone"));
      rmSync(path("replaced"));
      mkdirSync(path("replaced"));
      renameSync(path("moved"), path("here"));
      execFileSync("mkfifo", [path("folder/pipe")]);
      execFileSync("mknod", [path("folder/device"), "c", "1", "3"]);
      const changes = (await snapshotter.diff("container")).map(({ kind, path: at }) => `${kind} ${at}`);
      assert.deepEqual(changes, ["added /another", "modified /attribute", "modified /folder", "added /folder/device", "added /folder/pipe", "deleted /gone", "added /here", "added /here/inside", "modified /linked", "modified /mode", "deleted /moved", "modified /replaced", "modified /twin"]);
    }));

  test("btrfs: what containers always have is no change of theirs", () =>
    withContainer(async (root, snapshotter) => {
      assert.ok(statSync(join(root, ".dockerenv")).isFile());
      assert.deepEqual(await snapshotter.diff("container"), []);
      const { bytes } = await snapshotter.usage("container");
      assert.equal(bytes, 0);
    }, { initLayer: true }));

  test("btrfs: subvolumes that a container made go with it, one in another, deep and full", () =>
    withContainer(async (root) => {
      createSubvolume(join(root, "outer"));
      const deep = join(root, "outer", ...Array.from({ length: 70 }, () => "d"));
      mkdirSync(deep, { recursive: true });
      writeFileSync(join(deep, "file"), "x");
      createSubvolume(join(deep, "inner"));
      createSubvolume(join(deep, "inner", "innermost"));
      writeFileSync(join(deep, "inner", "innermost", "file"), "x");
      createSubvolume(join(root, "outer", "second"));
    }));

  test("btrfs: a container takes no more than its size", () =>
    withContainer(async (_root, snapshotter, dir) => {
      assert.equal(snapshotter.limitFor({}), undefined);
      assert.throws(() => snapshotter.limitFor({ size: "1M" }), { code: "invalid-parameter", message: "btrfs: storage size cannot be less than 4.194MB" });
      assert.throws(() => snapshotter.limitFor({ size: "0" }), { message: "btrfs: invalid storage size: 0B" });
      const limit = snapshotter.limitFor({ size: "16M" });
      assert.equal(limit, 16 << 20);
      await snapshotter.prepare("limited", parent, { limit: 16 << 20 });
      assert.equal(create(dir).limitOf("limited"), 16 << 20);
      assert.equal(snapshotter.limitOf("container"), undefined);
      const [mount] = snapshotter.mounts("limited");
      assert.ok(mount?.type === "bind");
      writeFileSync(join(mount.source, "fits"), Buffer.alloc(4 << 20));
      assert.throws(() => writeFileSync(join(mount.source, "big"), Buffer.alloc(32 << 20)), (error: NodeJS.ErrnoException) => error.errno === -122 || error.code === "ENOSPC");
    }, { options: ["btrfs.min_space=4M"] }));
}

test("btrfs: refused on another file system, and options that it has not", () => {
  const dir = mkdtempSync(join(tmpdir(), "gantry-btrfs-"));
  try {
    assert.throws(() => create(join(dir, "btrfs")), { code: "unavailable", message: /prerequisites for driver not satisfied \(wrong filesystem\?\)$/ });
    assert.throws(() => create(join(dir, "btrfs"), { options: ["btrfs.nosuch=1"] }), { message: "Unknown option btrfs.nosuch" });
  } finally {
    rmSync(dir, { recursive: true });
  }
});
