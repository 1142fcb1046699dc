/** The file that says the daemon's process id. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { conflict } from "../../lib/errors.ts";

/** Writes the file. Throws "conflict" when it names another process that lives, unless the file is known to be ours. */
export function writePidfile(path: string, { ours }: { ours: boolean }): Disposable {
  mkdirSync(dirname(path), { recursive: true });
  const other = ours ? undefined : runningPid(path);
  if (other !== undefined) throw conflict(`failed to start daemon, ensure gantryd is not running or delete ${path}: process with PID ${other} is still running`);
  writeFileSync(path, `${process.pid}`, { mode: 0o644 });
  return { [Symbol.dispose]: () => rmSync(path, { force: true }) };
}

function runningPid(path: string): number | undefined {
  let pid: number;
  try {
    pid = Number(readFileSync(path, "utf8").trim());
  } catch {
    return undefined;
  }
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return undefined;
  return isAlive(pid) ? pid : undefined;
}

/** A zombie is not: whoever killed it may not have waited for it yet. */
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}
