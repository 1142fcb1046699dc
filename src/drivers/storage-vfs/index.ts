/** The vfs storage driver: every snapshot is a whole copy. Slow and large, but works on every file system. */
import { mkdirSync } from "node:fs";
import type { Snapshotter } from "../../core/snapshotter.ts";
import { Vfs } from "./vfs.ts";

export const id = "vfs";

/** `dir`: <root>/layers/vfs, made when missing. */
export function create(dir: string): Snapshotter {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  return new Vfs(dir);
}
