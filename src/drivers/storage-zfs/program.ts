/** The programs zfs and zpool: ZFS has no other interface that stays the same. */
import { execFile, execFileSync } from "node:child_process";
import { messageOf, systemError, unavailable } from "../../lib/errors.ts";

/** A pool of many datasets is listed, too. */
const limits = { maxBuffer: 256 << 20 };

export type Program = "zfs" | "zpool";

/** What it printed. Throws "system" with what it said, "unavailable" when there is no such program. */
export function tell(program: Program, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { ...limits, encoding: "utf8" }, (error, stdout, stderr) => (error ? reject(failure(program, args, Object.assign(error, { stderr }))) : resolve(stdout)));
  });
}

/** The same at the start, when nobody waits for anything else. */
export function tellNow(program: Program, args: readonly string[]): string {
  try {
    return execFileSync(program, args, { ...limits, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    throw failure(program, args, error);
  }
}

function failure(program: Program, args: readonly string[], error: unknown): Error {
  if ((error as NodeJS.ErrnoException).code === "ENOENT") return unavailable(`the zfs storage driver needs the program ${program}, which is not on PATH; on Debian: apt-get install zfsutils-linux`, error);
  const said = (error as { stderr?: string }).stderr?.trim();
  return systemError(`zfs: "${program} ${args.join(" ")}" => ${said || messageOf(error)}`, error);
}

/** Of options -H and -p: a line each, words between tabs. */
export const rowsOf = (text: string): string[][] => text.split("\n").filter((line) => line !== "").map((line) => line.split("\t"));
