/** Before a start: folders on the host that binds ask for. */
import { mkdirSync } from "node:fs";
import type { MountPoint } from "../../../core/container.ts";
import { messageOf, systemError } from "../../../lib/errors.ts";

/** Makes missing sources as folders. One that is a file stays what it is. */
export function makeBindSources(points: readonly MountPoint[]): void {
  for (const { bind, source } of points) if (bind?.createSource) makeFolder(source);
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o755 });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== "EEXIST" && code !== "ENOTDIR") throw systemError(`error while creating mount source path '${path}': mkdir ${path}: ${messageOf(error)}`, error);
  }
}
