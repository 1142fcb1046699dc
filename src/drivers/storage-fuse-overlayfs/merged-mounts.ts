/**
 * Mounts by the program fuse-overlayfs at <dir>/<id>/merged, for moments: whoever wants one for longer, as a container in its own
 * mount namespace, binds it meanwhile. The program is a process of its own that outlives the daemon, and ends with the last that
 * has the mount. What a crash of the daemon left mounted is taken away at the next start; containers keep theirs.
 */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, realpathSync, rmdirSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { promisify } from "node:util";
import { messageOf, systemError } from "../../lib/errors.ts";
import { parseMountInfo } from "../../sys/mount-table.ts";
import { detach, detachNow } from "../../sys/mounts.ts";
import type { Stack } from "../../sys/overlay-layers.ts";

const run = promisify(execFile);
const MOST_MILLISECONDS = 60_000;

/** Written through: who unmounts and looks at the layers sees everything. */
const OPTIONS = ["writeback=0", "dev", "suid"];

export class MergedMounts {
  readonly #dir: string;
  readonly #program: string;

  constructor(dir: string, program: string) {
    this.#dir = dir;
    this.#program = program;
    const real = `${realpathSync(dir)}/`;
    for (const { mountpoint } of parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8"))) if (mountpoint.startsWith(real) && basename(mountpoint) === "merged") detachNow(mountpoint);
  }

  path(folder: string): string {
    return join(folder, "merged");
  }

  /** Before the folder is committed or removed: nothing is mounted there, and the place is gone. Idempotent. */
  drop(folder: string): void {
    const merged = this.path(folder);
    if (!existsSync(merged)) return;
    detachNow(merged);
    rmdirSync(merged);
  }

  /** Until disposed. */
  async mount(folder: string, { lower, upper, work }: Stack): Promise<AsyncDisposable> {
    const merged = this.path(folder);
    mkdirSync(merged, { recursive: true, mode: 0o700 });
    // Short names, without the characters that separate them.
    const short = (path: string): string => relative(this.#dir, path);
    const options = [`lowerdir=${lower.map(short).join(":")}`, `upperdir=${short(upper)}`, `workdir=${short(work)}`, ...OPTIONS];
    try {
      await run(this.#program, ["-o", options.join(","), short(merged)], { cwd: this.#dir, timeout: MOST_MILLISECONDS });
    } catch (error) {
      await detach(merged);
      throw systemError(`fuse-overlayfs cannot mount ${merged}: ${(error as { stderr?: string }).stderr?.trim() || messageOf(error)}`, error);
    }
    return { [Symbol.asyncDispose]: async () => void (await detach(merged)) };
  }
}
