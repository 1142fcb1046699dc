/** File systems on thin devices. What containers see is rootfs/ in them: the root folder has what mkfs made. */
import { execFile, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { messageOf, systemError, unavailable } from "../../lib/errors.ts";
import { syncFileSystem } from "../../sys/archive.ts";
import { parseMountWords } from "../../sys/mount-words.ts";
import { detach, errnoMessage, flag, mount } from "../../sys/mounts.ts";
import type { FileSystem, Options } from "./options.ts";

const run = promisify(execFile);
export const ROOT = "rootfs";

const isThere = (program: string): boolean => spawnSync("sh", ["-c", 'command -v "$1"', "sh", program]).status === 0;
const programs: Readonly<Record<FileSystem, { make: string; from: string }>> = { ext4: { make: "mkfs.ext4", from: "e2fsprogs" }, xfs: { make: "mkfs.xfs", from: "xfsprogs" } };

/** XFS where it can be, as Docker. Throws "unavailable" without the program. */
export function fileSystemFor(asked: FileSystem | undefined): FileSystem {
  const chosen = asked ?? (isThere(programs.xfs.make) && knowsXfs() ? "xfs" : "ext4");
  const { make, from } = programs[chosen];
  if (!isThere(make)) throw unavailable(`the devicemapper storage driver needs the program ${make}, which is not on PATH; on Debian: apt-get install ${from}`);
  return chosen;
}

function knowsXfs(): boolean {
  const inKernel = (): boolean => /\txfs$/m.test(readFileSync("/proc/filesystems", "utf8"));
  return inKernel() || (spawnSync("modprobe", ["xfs"]).status === 0 && inKernel());
}

export class FileSystems {
  readonly #options: Options;

  constructor(options: Options) {
    this.#options = options;
  }

  /** An empty one, with rootfs/ in it. */
  async make(node: string, kind: FileSystem, place: string): Promise<void> {
    const own = kind === "ext4" ? ["-q", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"] : ["-q", "-K"];
    await tell(programs[kind].make, [...own, ...this.#options.makeArguments, node]);
    await this.mount(node, kind, place);
    try {
      mkdirSync(join(place, ROOT), { mode: 0o755 });
      await syncFileSystem(place);
    } finally {
      await detach(place);
    }
  }

  async mount(node: string, kind: FileSystem, place: string, options: { readonly?: boolean } = {}): Promise<void> {
    // Snapshots of XFS have the same name.
    const { flags, data } = parseMountWords([...(kind === "xfs" ? ["nouuid"] : []), ...this.#options.mountOptions].join(","));
    mkdirSync(place, { recursive: true, mode: 0o700 });
    try {
      await mount(node, place, kind, flags | (options.readonly === true ? flag.rdonly : 0), data);
    } catch (error) {
      throw systemError(`devmapper: Failed to mount ${node}: ${errnoMessage(error)}; the kernel's log says more`, error);
    }
    if (kind === "xfs" && this.#options.xfsRetries !== undefined) await this.#limitRetries(node, place, this.#options.xfsRetries);
  }

  async #limitRetries(node: string, place: string, retries: string): Promise<void> {
    try {
      writeFileSync(`/sys/fs/xfs/${basename(node)}/error/metadata/ENOSPC/max_retries`, retries);
    } catch (error) {
      await detach(place);
      throw systemError(`devmapper: user specified daemon option dm.xfs_nospace_max_retries but it does not seem to be supported on this system: ${messageOf(error)}`, error);
    }
  }

  /** To the whole device, while it is mounted at `place`. */
  grow(node: string, kind: FileSystem, place: string): Promise<void> {
    return kind === "xfs" ? tell("xfs_growfs", [place]) : tell("resize2fs", [node]);
  }
}

async function tell(program: string, args: string[]): Promise<void> {
  try {
    await run(program, args);
  } catch (error) {
    throw systemError(`devmapper: ${program} ${args.join(" ")} failed: ${(error as { stderr?: string }).stderr?.trim() || messageOf(error)}`, error);
  }
}
