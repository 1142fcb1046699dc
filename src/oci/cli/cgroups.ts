/** A container's groups from outside: the processes in them, and their removal. */
import { readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { systemError } from "../../lib/errors.ts";
import { textOf } from "../host.ts";

/** Every process of the container, also in groups below its own. */
export function processesIn(cgroups: readonly string[]): number[] {
  return [...new Set(cgroups.flatMap(processesBelow))];
}

function processesBelow(path: string): number[] {
  const own = textOf(join(path, "cgroup.procs")).split("\n").filter((line) => line !== "").map(Number);
  return [...own, ...groupsIn(path).flatMap(processesBelow)];
}

function groupsIn(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => join(path, entry.name));
  } catch {
    return [];
  }
}

/** Groups stay busy for a moment after their last process; goes on after an error and reports the first. */
export async function removeGroups(cgroups: readonly string[]): Promise<void> {
  const failed: string[] = [];
  for (const path of cgroups) if (!(await removeGroup(path))) failed.push(path);
  if (failed.length > 0) throw systemError(`cgroups are still in use: ${failed.join(", ")}`);
}

async function removeGroup(path: string): Promise<boolean> {
  for (let attempt = 0; attempt < 100; attempt++) {
    for (const child of groupsIn(path)) await removeGroup(child);
    try {
      rmdirSync(path);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return true;
      await sleep(Math.min(attempt, 10));
    }
  }
  return false;
}
