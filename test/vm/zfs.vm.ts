/** zfs under the whole daemon, on a kernel that has it. The driver's own tests run here, too. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openSnapshotter } from "../../src/cmd/daemon/storage.ts";
import { datasetsOf, makePool } from "../../src/drivers/storage-zfs/pool.testing.ts";
import { wholeLife } from "./other-driver.ts";

test("zfs under the whole daemon", async () => {
  using pool = makePool(1024);
  await wholeLife({
    name: "zfs",
    options: [`zfs.fsname=${pool.name}`],
    // What the image has comes on top.
    size: { asked: "64M", least: 65_536, most: 75_000 },
    checkInfo({ DriverStatus }) {
      assert.deepEqual(DriverStatus.slice(0, 3), [["Zpool", pool.name], ["Zpool Health", "ONLINE"], ["Parent Dataset", pool.name]]);
    },
  });
  assert.deepEqual(datasetsOf(pool.name), [], "all that was made has gone");
});

test("zfs on a data root of its own is taken again", async () => {
  using pool = makePool();
  const dataRoot = join(pool.dir, "root");
  mkdirSync(dataRoot);
  const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
  for (const driver of ["zfs", ""]) {
    const snapshotter = await openSnapshotter({ dataRoot, storage: { driver, options: [] } }, quiet);
    assert.equal(snapshotter.driver, "zfs");
    if (driver !== "") await snapshotter.prepare("container");
    await snapshotter.close?.();
  }
  assert.equal(datasetsOf(pool.name).length, 1);
});
