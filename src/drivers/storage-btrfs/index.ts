/** The btrfs storage driver: every snapshot is a subvolume, made in an instant as a snapshot of its parent. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Snapshotter, SnapshotterOptions } from "../../core/snapshotter.ts";
import { invalidParameter, unavailable } from "../../lib/errors.ts";
import { parseStorageOptions } from "../../lib/storage-options.ts";
import { parseRamSize } from "../../lib/units.ts";
import { fileSystemOf } from "../../sys/file-system.ts";
import { makeInitLayer } from "../../sys/init-layer.ts";
import { checkMapped } from "../../sys/user-namespace.ts";
import { Btrfs } from "./btrfs.ts";

export const id = "btrfs";

/** `dir`: <root>/layers/btrfs, made when missing. Throws "unavailable" on another file system. */
export function create(dir: string, { initLayer = false, options = [], maps }: SnapshotterOptions = {}): Snapshotter {
  const leastSize = parseOptions(options);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  if (maps) checkMapped(dir, maps);
  const fileSystem = fileSystemOf(dir);
  if (fileSystem !== "btrfs") throw unavailable(`the btrfs storage driver does not work on ${fileSystem} at ${dir}: prerequisites for driver not satisfied (wrong filesystem?)`);
  return new Btrfs(dir, { leastSize, init: initLayer ? makeInitLayer(join(dir, "init")) : undefined });
}

/** What containers must ask for at least. */
function parseOptions(options: readonly string[]): number {
  let least = 0;
  for (const [key, value] of parseStorageOptions(options)) {
    if (key !== "btrfs.min_space") throw invalidParameter(`Unknown option ${key}`);
    least = parseRamSize(value);
  }
  return least;
}
