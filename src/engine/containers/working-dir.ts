/** Config.WorkingDir must not be a file of the image. Only looks: the folder itself is made at the start when it is missing. */
import { lstatSync } from "node:fs";
import { join } from "node:path";
import type { ContainerRecord } from "../../core/container.ts";
import type { RootfsMount } from "../../core/runtime.ts";
import { systemError } from "../../lib/errors.ts";
import type { ContainerLayers } from "./context.ts";

/** Throws Docker's error. Paths through links are left to the start, which resolves them inside the root. */
export async function checkWorkingDir(layers: Pick<ContainerLayers, "open">, { id, config: { WorkingDir: path } }: ContainerRecord): Promise<void> {
  if (path === "" || path === "/") return;
  await using layer = await layers.open(id);
  checkPath(path, layer.mounts);
}

function checkPath(path: string, mounts: readonly RootfsMount[]): void {
  const folders = mounts.flatMap((mount) => (mount.type === "overlay" ? [mount.upper, ...mount.lower] : [mount.source]));
  let parent = "";
  for (const name of path.slice(1).split("/")) {
    parent = join(parent, name);
    const kind = kindOf(parent, folders);
    if (kind === "file") throw systemError(`Cannot mkdir: ${path} is not a directory`);
    if (kind !== "folder") return;
  }
}

/** Of the topmost folder that has it; overlayfs marks what is deleted as a character device 0/0. */
function kindOf(path: string, folders: readonly string[]): "folder" | "file" | "link" | undefined {
  for (const folder of folders) {
    const stat = lstatSync(join(folder, path), { throwIfNoEntry: false });
    if (!stat) continue;
    if (stat.isDirectory()) return "folder";
    if (stat.isCharacterDevice() && stat.rdev === 0) return undefined;
    return stat.isSymbolicLink() ? "link" : "file";
  }
  return undefined;
}
