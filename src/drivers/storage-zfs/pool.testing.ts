/** Small pools in files for tests, and what is missing for them on this machine. */
import { execFileSync, spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf } from "../../lib/errors.ts";

export const missing = missingHere();

function missingHere(): string | undefined {
  try {
    closeSync(openSync("/dev/zfs", "r+"));
  } catch (error) {
    return `ZFS in the kernel: ${messageOf(error)}`;
  }
  return spawnSync("sh", ["-c", "command -v zfs && command -v zpool"]).status === 0 ? undefined : "the programs zfs and zpool";
}

export interface Pool extends Disposable {
  name: string;
  /** Where its first dataset is mounted. */
  dir: string;
}

export function makePool(megabytes = 512): Pool {
  const folder = mkdtempSync(join(tmpdir(), "gantry-zfs-pool-"));
  const [file, dir] = [join(folder, "disk"), join(folder, "mounted")];
  const name = `gantry${folder.slice(folder.lastIndexOf("-"))}`;
  execFileSync("truncate", ["-s", `${megabytes}M`, file]);
  execFileSync("zpool", ["create", "-f", "-m", dir, name, file]);
  return {
    name,
    dir,
    [Symbol.dispose]() {
      execFileSync("zpool", ["destroy", "-f", name]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Names of what is in the pool, without the pool's. */
export const datasetsOf = (pool: string): string[] => execFileSync("zfs", ["list", "-H", "-r", "-o", "name", pool], { encoding: "utf8" }).trim().split("\n").filter((name) => name !== pool);
