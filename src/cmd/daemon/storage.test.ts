import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Logger } from "../../core/logger.ts";
import { openSnapshotter } from "./storage.ts";

const quiet: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

async function withRoot(run: (open: (driver?: string, options?: string[]) => Promise<string>, dataRoot: string) => Promise<void>): Promise<void> {
  const dataRoot = mkdtempSync(join(tmpdir(), "gantry-storage-"));
  try {
    await run(async (driver = "", options = []) => (await openSnapshotter({ dataRoot, storage: { driver, options } }, quiet)).driver, dataRoot);
  } finally {
    rmSync(dataRoot, { recursive: true, force: true });
  }
}

test("mapped ids: by overlay2 and vfs, refused by name where they cannot be", { skip: process.getuid?.() === 0 ? false : "needs root" }, async () => {
  const maps = { uids: [{ containerID: 0, hostID: 200_000, size: 1000 }], gids: [{ containerID: 0, hostID: 200_000, size: 1000 }] };
  const dataRoot = mkdtempSync(join(tmpdir(), "gantry-storage-"));
  try {
    const open = async (driver: string): Promise<string> => (await openSnapshotter({ dataRoot, storage: { driver, options: [] } }, quiet, maps)).driver;
    for (const driver of ["overlay2", "vfs"]) assert.equal(await open(driver), driver);
    await assert.rejects(open("fuse-overlayfs"), { code: "unavailable", message: /--userns-remap does not work with the storage driver fuse-overlayfs/ });
  } finally {
    rmSync(dataRoot, { recursive: true, force: true });
  }
});

const use = (dataRoot: string, driver: string): string | undefined => mkdirSync(join(dataRoot, "layers", driver, "a".repeat(64)), { recursive: true });

test("without a choice: overlay2, or what was used before", async () => {
  await withRoot(async (open) => assert.equal(await open(), "overlay2"));
  await withRoot(async (open) => {
    assert.equal(await open("vfs"), "vfs");
    assert.equal(await open(), "overlay2", "an empty folder is no use");
  });
  await withRoot(async (open, dataRoot) => {
    use(dataRoot, "vfs");
    assert.equal(await open(), "vfs");
    use(dataRoot, "overlay2");
    assert.equal(await open(), "overlay2", "vfs counts only beside nothing else");
    assert.equal(await open("vfs"), "vfs");
    use(dataRoot, "btrfs");
    await assert.rejects(open(), { message: `${dataRoot} contains several valid graphdrivers: overlay2, btrfs; cleanup or explicitly choose storage driver (-s <DRIVER>)` });
  });
  await withRoot(async (open, dataRoot) => {
    use(dataRoot, "btrfs");
    await assert.rejects(open(), { code: "unavailable", message: /prerequisites for driver not satisfied/ }, "not quietly another one");
  });
});

test("a choice: containerd's name, unknown ones, and drivers that are gone", () =>
  withRoot(async (open) => {
    assert.equal(await open("overlayfs"), "overlay2");
    for (const gone of ["aufs", "overlay"]) await assert.rejects(open(gone), { code: "invalid-parameter", message: new RegExp(`^the ${gone} storage-driver has been deprecated and removed.*docker save`) });
    await assert.rejects(open("zfs"), { code: "unavailable", message: /^the zfs storage driver / });
    await assert.rejects(open("nosuch"), { message: /^the storage driver "nosuch" is not supported; there are overlay2, / });
    await assert.rejects(open("vfs", ["overlay2.size=1G"]), { message: "unknown option overlay2.size for vfs" });
    await assert.rejects(open("", ["nosuch"]), { message: "unable to parse storage-opt key/value: nosuch" });
  }));
