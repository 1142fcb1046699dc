/** Before a start: folders on the host that binds ask for. */
import { lchownSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import type { MountPoint } from "../../../core/container.ts";
import { messageOf, systemError } from "../../../lib/errors.ts";
import type { Owner } from "../../../lib/user-maps.ts";

/** Makes missing sources as folders of the owner. One that is a file stays what it is. */
export function makeBindSources(points: readonly MountPoint[], owner: Owner | undefined): void {
  for (const { bind, source } of points) if (bind?.createSource) makeFolder(source, owner);
}

function makeFolder(path: string, owner: Owner | undefined): void {
  try {
    const first = mkdirSync(path, { recursive: true, mode: 0o755 });
    if (first === undefined || !owner) return;
    for (let made = path; made.startsWith(first); made = dirname(made)) lchownSync(made, owner.uid, owner.gid);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== "EEXIST" && code !== "ENOTDIR") throw systemError(`error while creating mount source path '${path}': mkdir ${path}: ${messageOf(error)}`, error);
  }
}
