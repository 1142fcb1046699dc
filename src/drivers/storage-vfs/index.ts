/** The vfs storage driver: every snapshot is a whole copy. Slow and large, but works on every file system. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Snapshotter, SnapshotterOptions } from "../../core/snapshotter.ts";
import { invalidParameter } from "../../lib/errors.ts";
import { parseStorageOptions } from "../../lib/storage-options.ts";
import { parseRamSize } from "../../lib/units.ts";
import { FolderLimits } from "../../sys/folder-limits.ts";
import { makeInitLayer } from "../../sys/init-layer.ts";
import { checkMapped } from "../../sys/user-namespace.ts";
import { Vfs } from "./vfs.ts";

export const id = "vfs";

/** `dir`: <root>/layers/vfs, made when missing. */
export function create(dir: string, { initLayer = false, options = [], maps }: SnapshotterOptions = {}): Snapshotter {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  if (maps) checkMapped(dir, maps);
  const limits = new FolderLimits(dir, {
    standard: standardSize(options),
    standardRefused: "failed to set option size for vfs: Filesystem does not support, or has not enabled quotas",
    refused: "Filesystem does not support, or has not enabled quotas",
  });
  return new Vfs(dir, { limits, init: initLayer ? makeInitLayer(join(dir, "init")) : undefined });
}

function standardSize(options: readonly string[]): number {
  let size = 0;
  for (const [key, value] of parseStorageOptions(options)) {
    if (key !== "size") throw invalidParameter(`unknown option ${key} for vfs`);
    size = parseRamSize(value);
  }
  return size;
}
