/** The vfs storage driver: every snapshot is a whole copy. Slow and large, but works on every file system. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Snapshotter } from "../../core/snapshotter.ts";
import { makeInitLayer } from "../../sys/init-layer.ts";
import { Vfs } from "./vfs.ts";

export const id = "vfs";

/** `dir`: <root>/layers/vfs, made when missing. `initLayer`: active snapshots with a parent get what containers always have. */
export function create(dir: string, { initLayer = false }: { initLayer?: boolean } = {}): Snapshotter {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  return new Vfs(dir, initLayer ? makeInitLayer(join(dir, "init")) : undefined);
}
