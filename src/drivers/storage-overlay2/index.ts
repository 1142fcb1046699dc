/** The overlay2 storage driver: layers as folders that the kernel's overlay file system stacks. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Snapshotter } from "../../core/snapshotter.ts";
import { makeInitLayer } from "../../sys/init-layer.ts";
import { Overlay2 } from "./overlay2.ts";
import { fileSystemOf, probe } from "./probe.ts";

export const id = "overlay2";

/** `dir`: <root>/layers/overlay2, made when missing. `initLayer`: active snapshots with a parent show what containers always have. Throws "unavailable" where overlay cannot work. */
export function create(dir: string, { initLayer = false }: { initLayer?: boolean } = {}): Snapshotter {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  probe(dir);
  const lowest = initLayer ? [makeInitLayer(join(dir, "init"))] : [];
  return new Overlay2(dir, [
    ["Backing Filesystem", fileSystemOf(dir)],
    ["Supports d_type", "true"],
    ["Using metacopy", "false"],
    ["Native Overlay Diff", "true"],
    ["userxattr", "false"],
  ], lowest);
}
