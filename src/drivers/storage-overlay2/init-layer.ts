/**
 * Files that containers have whatever their image holds, as Docker's: places for what is mounted, and /.dockerenv, by which
 * programs see that they run in a container. Below all other layers, so that an image's own win and no change shows them.
 */
import { chmodSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

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
  return dir;
}
