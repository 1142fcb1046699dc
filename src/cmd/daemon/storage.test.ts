import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Logger } from "../../core/logger.ts";
import { openSnapshotter } from "./storage.ts";

const quiet: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

function withRoot(run: (open: (driver?: string, options?: string[]) => string, dataRoot: string) => void): void {
  const dataRoot = mkdtempSync(join(tmpdir(), "gantry-storage-"));
  try {
    run((driver = "", options = []) => openSnapshotter({ dataRoot, storage: { driver, options } }, quiet).driver, dataRoot);
  } finally {
    rmSync(dataRoot, { recursive: true, force: true });
  }
}

test("mapped ids: by overlay2 and vfs, refused by name where they cannot be", { skip: process.getuid?.() === 0 ? false : "needs root" }, () => {
  const maps = { uids: [{ containerID: 0, hostID: 200_000, size: 1000 }], gids: [{ containerID: 0, hostID: 200_000, size: 1000 }] };
  const dataRoot = mkdtempSync(join(tmpdir(), "gantry-storage-"));
  try {
    const open = (driver: string): string => openSnapshotter({ dataRoot, storage: { driver, options: [] } }, quiet, maps).driver;
    for (const driver of ["overlay2", "vfs"]) assert.equal(open(driver), driver);
    assert.throws(() => open("fuse-overlayfs"), { code: "unavailable", message: /--userns-remap does not work with the storage driver fuse-overlayfs/ });
  } finally {
    rmSync(dataRoot, { recursive: true, force: true });
  }
});

const use = (dataRoot: string, driver: string): string | undefined => mkdirSync(join(dataRoot, "layers", driver, "a".repeat(64)), { recursive: true });

test("without a choice: overlay2, or what was used before", () => {
  withRoot((open) => assert.equal(open(), "overlay2"));
  withRoot((open) => {
    assert.equal(open("vfs"), "vfs");
    assert.equal(open(), "overlay2", "an empty folder is no use");
  });
  withRoot((open, dataRoot) => {
    use(dataRoot, "vfs");
    assert.equal(open(), "vfs");
    use(dataRoot, "overlay2");
    assert.equal(open(), "overlay2", "vfs counts only beside nothing else");
    assert.equal(open("vfs"), "vfs");
    use(dataRoot, "btrfs");
    assert.throws(() => open(), { message: `${dataRoot} contains several valid graphdrivers: overlay2, btrfs; cleanup or explicitly choose storage driver (-s <DRIVER>)` });
  });
  withRoot((open, dataRoot) => {
    use(dataRoot, "btrfs");
    assert.throws(() => open(), { code: "unavailable", message: /prerequisites for driver not satisfied/ }, "not quietly another one");
  });
});

test("a choice: containerd's name, unknown ones, and drivers that are gone", () =>
  withRoot((open) => {
    assert.equal(open("overlayfs"), "overlay2");
    for (const gone of ["aufs", "overlay", "devicemapper"]) assert.throws(() => open(gone), { code: "invalid-parameter", message: new RegExp(`^the ${gone} storage-driver has been deprecated and removed.*docker save`) });
    assert.throws(() => open("zfs"), /^GantryError: the storage driver zfs is not supported: /);
    assert.throws(() => open("nosuch"), { message: /^the storage driver "nosuch" is not supported; there are overlay2, / });
    assert.throws(() => open("vfs", ["overlay2.size=1G"]), { message: "unknown option overlay2.size for vfs" });
    assert.throws(() => open("", ["nosuch"]), { message: "unable to parse storage-opt key/value: nosuch" });
  }));
