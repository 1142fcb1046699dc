/** A file system of its own for a test, in a file. Removed by disposing. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface LoopDisk extends Disposable {
  dir: string;
  /** Has what reached the disk, as a loss of power leaves it; what only the kernel's memory has is not in it. */
  file: string;
}

export interface LoopDiskOptions {
  /** "mkfs.ext4 -q -O quota,project": what is formatted comes last. */
  format: string;
  /** Of mount(8). */
  options?: string;
  megabytes: number;
}

/** As it is now, for another machine: not mounted yet. */
export function copyDisk({ file }: LoopDisk): LoopDisk {
  const folder = mkdtempSync(join(tmpdir(), "gantry-disk-"));
  const copy = { dir: join(folder, "mounted"), file: join(folder, "disk") };
  mkdirSync(copy.dir);
  execFileSync("cp", ["--sparse=always", file, copy.file]);
  return {
    ...copy,
    [Symbol.dispose]: () => {
      spawnSync("umount", ["-R", copy.dir]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** What is missing for it on this machine: the program that formats, the kernel's file system, or its option. */
export function makeLoopDisk({ format, options = "defaults", megabytes }: LoopDiskOptions): LoopDisk | { missing: string } {
  const [program = "", ...rest] = format.split(" ");
  if (spawnSync("sh", ["-c", `command -v ${program}`]).status !== 0) return { missing: program };
  const folder = mkdtempSync(join(tmpdir(), "gantry-disk-"));
  const [dir, file] = [join(folder, "mounted"), join(folder, "disk")];
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    mkdirSync(dir);
    execFileSync("truncate", ["-s", `${megabytes}M`, join(folder, "disk")]);
    execFileSync(program, [...rest, join(folder, "disk")], { stdio: ["ignore", "ignore", "pipe"] });
    const { status, stderr } = spawnSync("mount", ["-o", `loop,${options}`, file, dir], { encoding: "utf8" });
    if (status !== 0) {
      remove();
      return { missing: `a kernel that mounts ${program.replace("mkfs.", "")} with ${options}: ${stderr.split("\n")[0]}` };
    }
  } catch (error) {
    remove();
    throw error;
  }
  return {
    dir,
    file,
    [Symbol.dispose]: () => {
      // What was deleted in there a moment ago may be on its way out still.
      execFileSync("sh", ["-c", 'for tries in $(seq 300); do umount -R "$1" 2>/dev/null && exit; sleep 0.1; done; umount -R "$1"', "sh", dir]);
      remove();
    },
  };
}
