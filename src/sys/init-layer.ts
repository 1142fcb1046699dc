/**
 * Files that containers have whatever their image holds, as Docker's: places for what is mounted, and /.dockerenv, by which
 * programs see that they run in a container. Below all other layers, so that an image's own win and no change shows them.
 */
import { chmodSync, closeSync, constants, existsSync, lstatSync, lutimesSync, mkdirSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { openDirectory, openInRoot } from "./archive.ts";

const folders = ["dev", "dev/pts", "dev/shm", "etc", "proc", "sys"];
const files = [".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf"];

/** Idempotent; completes what a crash left. Returns the folder. */
export function makeInitLayer(dir: string): string {
  mkdirSync(dir, { recursive: true, mode: 0o755 });
  for (const folder of folders) mkdirSync(join(dir, folder), { recursive: true, mode: 0o755 });
  for (const file of files) if (!existsSync(join(dir, file))) writeFileSync(join(dir, file), "", { mode: 0o755 });
  // Whatever the umask: users of containers must get through.
  for (const name of [".", ...folders, ...files]) chmodSync(join(dir, name), 0o755);
  const mounts = join(dir, "etc/mtab");
  try {
    symlinkSync("/proc/mounts", mounts);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  // Whole seconds: what JavaScript can give a copy, too.
  for (const name of [...files, "etc/mtab"]) {
    const seconds = Math.floor(lstatSync(join(dir, name)).mtimeMs / 1000);
    lutimesSync(join(dir, name), seconds, seconds);
  }
  return dir;
}

/** Puts what the tree does not have of it into the tree, with the same times, so that comparing the two finds no change. Links of the tree are resolved inside it. */
export function addInitLayer(init: string, tree: string): void {
  const root = openDirectory(tree);
  try {
    for (const name of [...folders, ...files, "etc/mtab"]) addMissing(root, init, name);
  } finally {
    closeSync(root);
  }
}

function addMissing(root: number, init: string, name: string): void {
  withParent(root, name, (path) => {
    if (lstatSync(path, { throwIfNoEntry: false })) return;
    const made = lstatSync(join(init, name));
    if (made.isDirectory()) mkdirSync(path);
    else if (made.isSymbolicLink()) symlinkSync(readlinkSync(join(init, name)), path);
    else writeFileSync(path, "", { flag: "wx" });
    if (!made.isSymbolicLink()) chmodSync(path, made.mode & 0o7777);
    lutimesSync(path, made.atime, made.mtime);
  });
}

/** Nothing when a part of the way is no folder. */
function withParent(root: number, name: string, use: (path: string) => void): void {
  let parent: number;
  try {
    parent = openInRoot(root, dirname(name), constants.O_RDONLY | constants.O_DIRECTORY);
  } catch {
    return;
  }
  try {
    use(`/proc/self/fd/${parent}/${basename(name)}`);
  } finally {
    closeSync(parent);
  }
}
