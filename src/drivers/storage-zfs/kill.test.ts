/** kill -9 at each step that makes or destroys a dataset: the next start leaves nothing of it in the pool, and all that is complete works. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { create } from "./index.ts";
import { datasetsOf, makePool, missing, type Pool } from "./pool.testing.ts";

const image = `sha256:${"b".repeat(64)}`;

/** The first dataset is the layer, the second what containers begin with, the third the container; it is destroyed first, then the image's two. */
const kills: [point: string, times: number[]][] = [
  ["zfs-named", [1, 2, 3]],
  ["zfs-made", [1, 2, 3]],
  ["zfs-sealed", [1, 2]],
  ["zfs-forgotten", [1, 2]],
  ["zfs-destroyed", [1, 2, 3]],
];

if (missing !== undefined) test("zfs: kill -9", { skip: `needs ${missing}` });
else {
  const pool: Pool = makePool();
  after(() => pool[Symbol.dispose]());
  for (const [point, times] of kills) for (const time of times) test(`zfs: kill -9 at ${point}, time ${time}`, () => killedAt(pool, `${point}:${time}`));
}

async function killedAt(pool: Pool, fault: string): Promise<void> {
  const dir = mkdtempSync(join(pool.dir, "kill-"));
  const child = spawnSync(process.execPath, ["--disable-warning=ExperimentalWarning", join(import.meta.dirname, "kill.child.testing.ts"), dir, pool.name], { env: { ...process.env, GANTRY_FAULT: fault }, encoding: "utf8" });
  assert.equal(child.signal, "SIGKILL", child.stderr);
  const snapshotter = create(dir, { options: [`zfs.fsname=${pool.name}`], initLayer: true });
  try {
    await snapshotter.settled();
    for (const { key, kind } of snapshotter.list()) {
      if (kind === "active") await snapshotter.remove(key);
      else {
        await snapshotter.prepare("again", key);
        await using target = await snapshotter.unpackTarget("again");
        assert.equal(readFileSync(join(target.path, "file"), "utf8"), "layer");
      }
    }
    await snapshotter.remove("again");
    await snapshotter.settled();
    assert.deepEqual(await snapshotter.strays?.(), []);
    await snapshotter.remove(image);
    await snapshotter.settled();
    assert.deepEqual([snapshotter.list(), datasetsOf(pool.name)], [[], []]);
  } finally {
    for (const { key } of snapshotter.list()) await snapshotter.remove(key);
    await snapshotter.close?.();
  }
}
