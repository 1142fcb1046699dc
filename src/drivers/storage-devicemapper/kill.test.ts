/** kill -9 at each step that makes or deletes a device: the next start leaves nothing of it in the pool, and all that is complete works. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { missing, small } from "./pool.testing.ts";
import { create } from "./index.ts";

const image = `sha256:${"b".repeat(64)}`;

/** The first device is the base, the second the layer, the third what containers begin with, the fourth the container; it is deleted first, then the image's two. */
const kills: [point: string, times: number[]][] = [
  ["devicemapper-named", [1, 3]],
  ["devicemapper-made", [1, 2, 4]],
  ["devicemapper-recorded", [1, 2, 3, 4]],
  ["devicemapper-finished", [1, 3]],
  ["devicemapper-marked", [1, 2]],
  ["devicemapper-forgotten", [1, 2]],
  ["devicemapper-deleted", [1, 3]],
];

for (const [point, times] of kills) for (const time of times) {
  test(`devicemapper: kill -9 at ${point}, time ${time}`, { skip: missing === undefined ? false : `needs ${missing}` }, async () => {
    const dir = mkdtempSync(join(tmpdir(), "gantry-dm-kill-"));
    const child = spawnSync(process.execPath, ["--disable-warning=ExperimentalWarning", join(import.meta.dirname, "kill.child.testing.ts"), dir], { env: { ...process.env, GANTRY_FAULT: `${point}:${time}` }, encoding: "utf8" });
    const snapshotter = create(dir, { options: small(), initLayer: true });
    try {
      assert.equal(child.signal, "SIGKILL", child.stderr);
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
      await snapshotter.prepare("empty");
      await snapshotter.remove("empty");
      await snapshotter.settled();
      assert.deepEqual(await snapshotter.strays?.(), []);
      assert.deepEqual(snapshotter.list(), []);
    } finally {
      for (const { key } of snapshotter.list()) await snapshotter.remove(key);
      await snapshotter.close?.();
      rmSync(dir, { recursive: true, force: true });
    }
  });
}
