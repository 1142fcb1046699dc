import assert from "node:assert/strict";
import { chmodSync, closeSync, cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type EnterRootfs, snapshotterContract } from "../../core/snapshotter.contract.ts";
import { openOverlay } from "../../sys/archive.ts";
import { makeLoopDisk } from "../../sys/loop-disk.testing.ts";
import { create } from "./index.ts";

const enter: EnterRootfs = ([mount]) => {
  assert.ok(mount);
  if (mount.type === "bind") return { path: mount.source, [Symbol.dispose]: () => undefined };
  const fd = openOverlay({ lower: mount.lower, own: { upper: mount.upper, work: mount.work }, options: mount.options });
  return { path: `/proc/self/fd/${fd}`, [Symbol.dispose]: () => closeSync(fd) };
};

snapshotterContract("overlay2", create, enter);

test("overlay2: a file system without d_type is refused with Docker's words", (context) => {
  const made = makeLoopDisk({ format: "mkfs.ext4 -q -O ^filetype", megabytes: 16 });
  if ("missing" in made) return context.skip(`needs ${made.missing}`);
  using disk = made;
  const message = "overlay2: the backing extfs filesystem is formatted without d_type support, which leads to incorrect behavior. Reformat the filesystem (or use tune2fs) with -O filetype flag to enable d_type support. Backing filesystems without d_type support are not supported.";
  assert.throws(() => create(join(disk.dir, "overlay2")), { code: "unavailable", message });
});

test("overlay2: what changes is whole in the container's own layer, whatever the kernel's defaults", async () => {
  const dir = mkdtempSync(join(tmpdir(), "gantry-overlay2-"));
  try {
    const snapshotter = create(dir);
    const parent = `sha256:${"a".repeat(64)}`;
    await snapshotter.prepare("unpack-1");
    {
      await using target = await snapshotter.unpackTarget("unpack-1");
      writeFileSync(join(target.path, "file"), "content");
      mkdirSync(join(target.path, "folder"));
      writeFileSync(join(target.path, "folder", "inside"), "inside");
    }
    await snapshotter.commit("unpack-1", parent);
    await snapshotter.prepare("container", parent);
    const [mount] = snapshotter.mounts("container");
    assert.ok(mount?.type === "overlay");
    {
      using root = enter([mount]);
      const { ino } = statSync(join(root.path, "file"));
      chmodSync(join(root.path, "file"), 0o600);
      assert.equal(statSync(join(root.path, "file")).ino, ino, "inode numbers stay");
      assert.throws(() => renameSync(join(root.path, "folder"), join(root.path, "moved")), { code: "EXDEV" }, "no redirects");
      cpSync(join(root.path, "folder"), join(root.path, "moved"), { recursive: true });
      rmSync(join(root.path, "folder"), { recursive: true });
    }
    assert.equal(readFileSync(join(mount.upper, "file"), "utf8"), "content", "no copies of metadata alone");
    assert.equal(readFileSync(join(mount.upper, "moved", "inside"), "utf8"), "inside");
    assert.deepEqual((await snapshotter.diff("container")).map(({ kind, path }) => `${kind} ${path}`), ["modified /file", "deleted /folder", "added /moved", "added /moved/inside"]);
    await snapshotter.settled();
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test("overlay2: 500 layers can be mounted, one more is refused by name", async () => {
  const dir = mkdtempSync(join(tmpdir(), "gantry-overlay2-"));
  try {
    const snapshotter = create(dir);
    const name = (at: number): string => `sha256:${String(at).padStart(64, "0")}`;
    for (let at = 0; at < 501; at++) {
      await snapshotter.prepare("unpack", undefined);
      await snapshotter.commit("unpack", name(at), at === 0 ? {} : { parent: name(at - 1) });
    }
    await snapshotter.prepare("container", name(499));
    using root = enter(snapshotter.mounts("container"));
    writeFileSync(join(root.path, "file"), "");
    await assert.rejects(snapshotter.prepare("further", name(500)), { code: "system", message: /more than 500 layers/ });
    await snapshotter.settled();
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
