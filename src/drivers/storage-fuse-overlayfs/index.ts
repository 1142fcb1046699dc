/** The fuse-overlayfs storage driver: layers as overlay2 has them, stacked by the program of that name, where the kernel's overlay does not work. */
import { accessSync, constants, mkdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { Snapshotter, SnapshotterOptions } from "../../core/snapshotter.ts";
import { invalidParameter, unavailable } from "../../lib/errors.ts";
import { parseStorageOptions } from "../../lib/storage-options.ts";
import { makeInitLayer } from "../../sys/init-layer.ts";
import { FuseOverlayfs } from "./fuse-overlayfs.ts";
import { MergedMounts } from "./merged-mounts.ts";

export const id = "fuse-overlayfs";

/** `dir`: <root>/layers/fuse-overlayfs, made when missing. Throws "unavailable" without the program or the kernel's fuse. */
export function create(dir: string, { initLayer = false, options = [], maps }: SnapshotterOptions = {}): Snapshotter {
  const [option] = parseStorageOptions(options);
  if (option) throw invalidParameter(`fuse-overlayfs: unknown option ${option[0]}`);
  if (maps) throw unavailable("--userns-remap does not work with the storage driver fuse-overlayfs: its mounts cannot have mapped ids; use overlay2 or vfs");
  const program = findProgram();
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  return new FuseOverlayfs(dir, { mounts: new MergedMounts(dir, program), lowest: initLayer ? [makeInitLayer(join(dir, "init"))] : [] });
}

function findProgram(): string {
  const found = (process.env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, id)).find(isExecutable);
  if (found === undefined) throw unavailable("the fuse-overlayfs storage driver needs the program fuse-overlayfs, which is not on PATH; on Debian: apt-get install fuse-overlayfs");
  try {
    accessSync("/dev/fuse", constants.R_OK | constants.W_OK);
  } catch (error) {
    throw unavailable("the fuse-overlayfs storage driver needs /dev/fuse, which this machine has not", error);
  }
  return found;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
