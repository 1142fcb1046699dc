/** The overlay2 storage driver: layers as folders that the kernel's overlay file system stacks. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Snapshotter, SnapshotterOptions } from "../../core/snapshotter.ts";
import { fileSystemOf } from "../../sys/file-system.ts";
import { FolderLimits } from "../../sys/folder-limits.ts";
import { makeInitLayer } from "../../sys/init-layer.ts";
import { Overlay2 } from "./overlay2.ts";
import { standardSize } from "./options.ts";
import { probe } from "./probe.ts";

export const id = "overlay2";

/** `dir`: <root>/layers/overlay2, made when missing. Throws "unavailable" where overlay cannot work. */
export function create(dir: string, { initLayer = false, options = [], maps }: SnapshotterOptions = {}): Snapshotter {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  probe(dir, maps);
  const status: [string, string][] = [
    ["Backing Filesystem", fileSystemOf(dir)],
    ["Supports d_type", "true"],
    ["Using metacopy", "false"],
    ["Native Overlay Diff", "true"],
    ["userxattr", "false"],
  ];
  const limits = new FolderLimits(dir, {
    standard: standardSize(options),
    standardRefused: "Storage option overlay2.size not supported. Filesystem does not support Project Quota",
    refused: "--storage-opt is supported only for overlay over xfs with 'pquota' mount option, or over ext4 with 'prjquota'",
  });
  return new Overlay2(dir, { status, limits, lowest: initLayer ? [makeInitLayer(join(dir, "init"))] : [] });
}
