import assert from "node:assert/strict";
import { closeSync, mkdirSync, mkdtempSync, openSync, renameSync, rmSync, statfsSync, writeFileSync, writeSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Snapshotter } from "../../core/snapshotter.ts";
import { openOverlay } from "../../sys/archive.ts";
import { makeLoopDisk } from "../../sys/loop-disk.testing.ts";
import { ProjectQuota } from "../../sys/project-quota.ts";
import { create } from "./index.ts";

const parent = `sha256:${"a".repeat(64)}`;
const limit = 4 << 20;

async function withBase(dir: string, options: readonly string[] = []): Promise<Snapshotter> {
  const snapshotter = create(dir, { options });
  if (snapshotter.has(parent)) return snapshotter;
  await snapshotter.prepare("unpack-1");
  await snapshotter.commit("unpack-1", parent);
  return snapshotter;
}

function enter(snapshotter: Snapshotter, key: string): Disposable & { path: string } {
  const [mount] = snapshotter.mounts(key);
  assert.ok(mount?.type === "overlay");
  const fd = openOverlay({ lower: mount.lower, own: { upper: mount.upper, work: mount.work }, options: mount.options });
  return { path: `/proc/self/fd/${fd}`, [Symbol.dispose]: () => closeSync(fd) };
}

/** Node has no name for EDQUOT. */
const isFull = (error: unknown): boolean => [-constants.errno.ENOSPC, -constants.errno.EDQUOT].includes((error as NodeJS.ErrnoException).errno ?? 0);

/** How many bytes go into a file before the file system refuses more. */
function fill(path: string, most: number): number {
  const fd = openSync(path, "w");
  const piece = Buffer.alloc(64 << 10, 1);
  let written = 0;
  try {
    while (written < most) written += writeSync(fd, piece);
  } catch (error) {
    assert.ok(isFull(error), String(error));
  } finally {
    closeSync(fd);
  }
  return written;
}

const disks = [
  { name: "ext4", format: "mkfs.ext4 -q -O quota,project -E quotatype=prjquota", options: "prjquota", megabytes: 64 },
  { name: "xfs", format: "mkfs.xfs -q", options: "pquota", megabytes: 320 },
];

for (const { name, ...disk } of disks) {
  test(`overlay2 over ${name}: a container takes no more than its size, and its end frees all of it`, async (context) => {
    const made = makeLoopDisk(disk);
    if ("missing" in made) return context.skip(`needs ${made.missing}`);
    using stack = new DisposableStack();
    stack.use(made);
    const dir = join(made.dir, "overlay2");
    const snapshotter = await withBase(dir);
    assert.equal(snapshotter.limitFor({}), undefined);
    assert.equal(snapshotter.limitFor({ size: "4m" }), limit);
    assert.throws(() => snapshotter.limitFor({ inodes: "4" }), { code: "invalid-parameter", message: "Unknown option inodes" });
    for (const key of ["one", "two"]) await snapshotter.prepare(key, parent, { limit });
    await snapshotter.prepare("free", parent);
    assert.deepEqual(["one", "two", "free"].map((key) => snapshotter.limitOf(key)), [limit, limit, undefined]);
    for (const key of ["one", "two"]) {
      using root = enter(snapshotter, key);
      const { blocks, bsize } = statfsSync(root.path);
      assert.equal(blocks * bsize, limit, "df shows the limit");
      const written = fill(join(root.path, "big"), 2 * limit);
      assert.ok(written > limit / 2 && written <= limit, `${key}: ${written}`);
      assert.throws(() => writeFileSync(join(root.path, "more"), Buffer.alloc(256 << 10)), isFull);
    }
    {
      using root = enter(snapshotter, "free");
      assert.equal(fill(join(root.path, "big"), 2 * limit), 2 * limit);
    }
    const again = create(dir);
    assert.deepEqual(["one", "two", "free"].map((key) => again.limitOf(key)), [limit, limit, undefined]);
    await again.prepare("three", parent, { limit: 2 * limit });
    assert.equal(again.limitOf("three"), 2 * limit);
    assert.equal(again.limitOf("one"), limit, "another project");
    await again.remove("one");
    await again.settled();
    await again.prepare("four", parent, { limit });
    {
      using root = enter(again, "four");
      assert.ok(fill(join(root.path, "big"), limit / 2) === limit / 2, "nothing of the removed container counts");
    }
    for (const key of ["two", "three", "four", "free"]) await again.remove(key);
    await again.settled();
    assert.deepEqual(again.list().map(({ key }) => key), [parent]);
  });

  test(`overlay2 over ${name}: the daemon's size is for all containers that ask for none`, async (context) => {
    const made = makeLoopDisk(disk);
    if ("missing" in made) return context.skip(`needs ${made.missing}`);
    using stack = new DisposableStack();
    stack.use(made);
    const snapshotter = await withBase(join(made.dir, "overlay2"), ["overlay2.size=4M", "overlay2.override_kernel_check=true"]);
    assert.equal(snapshotter.limitFor({}), limit);
    assert.equal(snapshotter.limitFor({ size: "8M" }), 2 * limit);
    assert.equal(snapshotter.limitFor({ size: "0" }), undefined);
  });

  test(`projects over ${name}: ids of others are never taken, a folder's own comes back`, (context) => {
    const made = makeLoopDisk(disk);
    if ("missing" in made) return context.skip(`needs ${made.missing}`);
    using stack = new DisposableStack();
    stack.use(made);
    const folder = (...names: string[]): string => {
      const path = join(made.dir, ...names);
      mkdirSync(path, { recursive: true });
      return path;
    };
    const theirs = ProjectQuota.open(folder("theirs"), () => []);
    theirs.limit(folder("theirs", "one"), 1 << 20);
    const ours = ProjectQuota.open(folder("ours"), () => []);
    ours.limit(folder("ours", "one"), 2 << 20);
    theirs.limit(folder("theirs", "two"), 3 << 20);
    ours.limit(folder("ours", "two"), 4 << 20);
    const limits = (): (number | undefined)[] => [theirs.limitOf(folder("theirs", "one")), ours.limitOf(folder("ours", "one")), theirs.limitOf(folder("theirs", "two")), ours.limitOf(folder("ours", "two"))];
    assert.deepEqual(limits(), [1 << 20, 2 << 20, 3 << 20, 4 << 20]);
    ours.limit(folder("ours", "one"), 5 << 20);
    ours.drop(folder("ours", "two"));
    ours.drop(folder("ours", "two"));
    ours.drop(join(made.dir, "ours", "none"));
    assert.deepEqual(limits(), [1 << 20, 5 << 20, 3 << 20, undefined]);
    ours.limit(folder("ours", "three"), 6 << 20);
    assert.deepEqual([...limits(), ours.limitOf(folder("ours", "three"))], [1 << 20, 5 << 20, 3 << 20, undefined, 6 << 20]);
    const inside = folder("theirs", "one", "inside");
    const nested = ProjectQuota.open(inside, () => []);
    nested.limit(folder("theirs", "one", "inside", "x"), 1 << 16);
    nested.drop(join(inside, "x"));
    renameSync(join(inside, "x"), join(folder("theirs", "one", "trash"), "x"));
  });
}

test("overlay2: without project quotas a size is refused with Docker's words", () => {
  const dir = mkdtempSync(join(tmpdir(), "gantry-overlay2-"));
  try {
    const snapshotter = create(dir);
    assert.equal(snapshotter.limitFor({}), undefined);
    assert.throws(() => snapshotter.limitFor({ size: "1G" }), { message: "--storage-opt is supported only for overlay over xfs with 'pquota' mount option, or over ext4 with 'prjquota'" });
    assert.throws(() => snapshotter.limitFor({ nosuch: "1" }), { message: "Unknown option nosuch" });
    assert.throws(() => create(dir, { options: ["overlay2.size=1G"] }), { code: "unavailable", message: /^Storage option overlay2\.size not supported\. Filesystem does not support Project Quota: / });
    assert.throws(() => create(dir, { options: ["overlay2.nosuch=1"] }), { message: "overlay2: unknown option overlay2.nosuch" });
    assert.throws(() => create(dir, { options: ["overlay2.size=much"] }), { message: "invalid size: 'much'" });
    assert.throws(() => create(dir, { options: ["overlay2.size"] }), { message: "unable to parse storage-opt key/value: overlay2.size" });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
