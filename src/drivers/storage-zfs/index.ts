/** The zfs storage driver, as Docker has it: every snapshot is a dataset, made in an instant as a clone of its parent's. */
import { closeSync, constants, mkdirSync, openSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Snapshotter, SnapshotterOptions } from "../../core/snapshotter.ts";
import { codeOf, invalidParameter, messageOf, systemError, unavailable } from "../../lib/errors.ts";
import { parseStorageOptions } from "../../lib/storage-options.ts";
import { fileSystemOf } from "../../sys/file-system.ts";
import { makeInitLayer } from "../../sys/init-layer.ts";
import { mountOf } from "../../sys/mount-table.ts";
import { DatasetMounts } from "./dataset-mounts.ts";
import { Datasets } from "./datasets.ts";
import { tellNow } from "./program.ts";
import { namesBelow, ownerOf } from "./records.ts";
import { statusOf } from "./status.ts";
import { Zfs } from "./zfs.ts";

export const id = "zfs";

/** `dir`: <root>/layers/zfs, made when missing. Throws "unavailable" without ZFS, or when `dir` is on another file system and no dataset is named. */
export function create(dir: string, { initLayer = false, options = [], maps }: SnapshotterOptions = {}): Snapshotter {
  const asked = parseOptions(options);
  if (maps) throw unavailable("--userns-remap does not work with the storage driver zfs; use overlay2 or vfs");
  checkKernel();
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const parent = asked ?? datasetOf(dir);
  checkDataset(parent);
  DatasetMounts.clean(dir);
  const datasets = new Datasets({ parent, owner: ownerOf(dir), known: () => namesBelow(dir) });
  const init = initLayer ? makeInitLayer(join(dir, "init")) : undefined;
  return new Zfs(dir, { datasets, mounts: new DatasetMounts(datasets), status: statusOf(parent), init });
}

/** The dataset that all are to be in. */
function parseOptions(options: readonly string[]): string | undefined {
  let parent: string | undefined;
  for (const [key, value] of parseStorageOptions(options)) {
    if (key !== "zfs.fsname") throw invalidParameter(`Unknown option ${key}`);
    parent = value;
  }
  return parent === "" ? undefined : parent;
}

function checkKernel(): void {
  try {
    // The kernel loads its module then.
    closeSync(openSync("/dev/zfs", constants.O_RDWR));
  } catch (error) {
    throw unavailable(`the zfs storage driver needs ZFS in the kernel: ${messageOf(error)}`, error);
  }
}

/** The one that a folder is in. */
function datasetOf(dir: string): string {
  const fileSystem = fileSystemOf(dir);
  if (fileSystem !== "zfs") throw unavailable(`the zfs storage driver does not work on ${fileSystem} at ${dir}: prerequisites for driver not satisfied (wrong filesystem?); --storage-opt zfs.fsname names a dataset elsewhere`);
  const { type, source } = mountOf(dir);
  if (type !== "zfs") throw unavailable(`Failed to find zfs dataset mounted on '${dirname(dir)}' in /proc/mounts`);
  return source;
}

function checkDataset(parent: string): void {
  try {
    tellNow("zfs", ["list", "-H", "-t", "filesystem", "-o", "name", parent]);
  } catch (error) {
    if (codeOf(error) === "unavailable") throw error;
    throw systemError(`Cannot find root filesystem ${parent}: ${messageOf(error)}`, error);
  }
}
