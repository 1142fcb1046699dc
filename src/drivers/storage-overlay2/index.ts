/** The overlay2 storage driver: layers as folders that the kernel's overlay file system stacks. */
import { statfsSync } from "node:fs";
import type { Snapshotter } from "../../core/snapshotter.ts";
import { Overlay2 } from "./overlay2.ts";

export const id = "overlay2";

/** `dir`: <root>/layers/overlay2, made when missing. Throws "unavailable" where overlay cannot work. */
export function create(dir: string): Snapshotter {
  return new Overlay2(dir, [["Backing Filesystem", String(statfsSync("/").type)]]);
}
