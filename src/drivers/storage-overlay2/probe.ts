/** Whether overlay works on a file system, found out by mounting one there (attached nowhere). */
import { closeSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { GantryError, messageOf, unavailable } from "../../lib/errors.ts";
import { openOverlay, type OverlayFolders, tellsKinds } from "../../sys/archive.ts";
import type { UserMaps } from "../../lib/user-maps.ts";
import { fileSystemOf } from "../../sys/file-system.ts";

/**
 * metacopy=off and redirect_dir=nofollow: an upper folder holds all data of what changed, so that it can be diffed and committed
 * by itself, and a layer cannot point outside of itself. index=off: lower folders are shared by many mounts. xino stays as the
 * kernel has it: with all folders on one file system inode numbers are stable without it.
 */
export const mountOptions: readonly string[] = ["index=off", "metacopy=off", "redirect_dir=nofollow"];

/** Throws "unavailable" with what to do. */
export function probe(dir: string, maps?: UserMaps): void {
  const trial = mkdtempSync(join(dir, "probe-"));
  try {
    for (const name of ["lower1", "lower2", "upper", "work", "upper-mapped", "work-mapped"]) mkdirSync(join(trial, name));
    // With whiteouts that overlay takes for files, what was deleted would come back.
    if (!tellsKinds(trial)) throw unavailable(withoutKinds(fileSystemOf(dir)));
    const lower = [join(trial, "lower1"), join(trial, "lower2")];
    const folders = (own: string): OverlayFolders => ({ lower, own: { upper: join(trial, `upper${own}`), work: join(trial, `work${own}`) }, options: mountOptions });
    closeSync(openUnsynced(folders("")));
    // A volatile one cannot be mounted twice.
    if (maps) probeMapped(dir, { ...folders("-mapped"), maps });
  } catch (error) {
    if (error instanceof GantryError) throw error;
    throw unavailable(`the overlay2 storage driver does not work on ${fileSystemOf(dir)} at ${dir}: ${messageOf(error)}; put the data root on ext4, xfs or btrfs, or use the storage driver vfs`, error);
  } finally {
    rmSync(trial, { recursive: true, force: true });
  }
}

function probeMapped(dir: string, folders: OverlayFolders): void {
  try {
    closeSync(openUnsynced(folders));
  } catch (error) {
    throw unavailable(`--userns-remap needs layers with mapped ids: overlay of Linux 6.7 or later on a file system that can have id-mapped mounts, which ${fileSystemOf(dir)} at ${dir} on this kernel cannot: ${messageOf(error)}`, error);
  }
}

/** Docker's words. */
function withoutKinds(fileSystem: string): string {
  const remedies: Record<string, string> = {
    xfs: " Reformat the filesystem with ftype=1 to enable d_type support.",
    extfs: " Reformat the filesystem (or use tune2fs) with -O filetype flag to enable d_type support.",
  };
  return `overlay2: the backing ${fileSystem} filesystem is formatted without d_type support, which leads to incorrect behavior.${remedies[fileSystem] ?? ""} Backing filesystems without d_type support are not supported.`;
}

/** Its end does not write the whole file system below to the disk, which takes as long as there is to write; kernels before 5.10 know no other. */
function openUnsynced(folders: OverlayFolders): number {
  try {
    return openOverlay({ ...folders, options: [...folders.options, "volatile"] });
  } catch {
    return openOverlay(folders);
  }
}
