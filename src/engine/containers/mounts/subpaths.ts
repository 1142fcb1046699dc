/** Parts of volumes and images, with Docker's words for those that cannot be had. */
import type { ContainerRecord } from "../../../core/container.ts";
import { invalidParameter, messageOf, notFound, systemError } from "../../../lib/errors.ts";
import type { SubpathPort } from "../context.ts";

/** The container has places of its own while it runs. */
export const usesPlaces = ({ mounts }: Pick<ContainerRecord, "mounts">): boolean => mounts.some(({ image, volume }) => image !== undefined || (volume?.subpath ?? "") !== "");

/** Where the part appears. */
export function partOf(subpaths: SubpathPort, id: string, { folder, subpath }: { folder: string; subpath: string }): string {
  try {
    return subpaths.make(id, folder, subpath);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR") throw notFound(`cannot access path ${folder}/${subpath}: no such file or directory`, error);
    if (code === "EXDEV") throw invalidParameter(`path concatenation escapes the base directory, base: ${folder}, subpath: ${subpath}`, error);
    throw systemError(`cannot access path ${folder}/${subpath}: ${messageOf(error)}`, error);
  }
}
