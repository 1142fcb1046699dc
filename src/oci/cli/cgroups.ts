/** A container's groups from outside: the processes in them, freezing, and their removal. */
import { existsSync, readdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { systemError } from "../../lib/errors.ts";
import type { CgroupGroup } from "../cgroups/groups.ts";
import type { CgroupLayout } from "../cgroups/layout.ts";
import { textOf } from "../host.ts";

/** The hierarchy of each of a container's folders. */
export function groupsOf(cgroups: readonly string[], { hierarchies }: CgroupLayout): CgroupGroup[] {
  return cgroups.flatMap((path) => {
    const hierarchy = hierarchies.filter(({ mountpoint }) => path.startsWith(`${mountpoint}/`)).toSorted((a, b) => b.mountpoint.length - a.mountpoint.length)[0];
    return hierarchy === undefined ? [] : [{ hierarchy, path, relative: path.slice(hierarchy.mountpoint.length) }];
  });
}

interface Freezer {
  file: string;
  values: { true: string; false: string };
  /** What says that it is done, and where: the v1 freezer works on while it says FREEZING. */
  state: string;
  settled: { true: RegExp; false: RegExp };
}

function freezerOf(cgroups: readonly string[]): Freezer | undefined {
  const v1 = cgroups.find((path) => existsSync(`${path}/freezer.state`));
  if (v1 !== undefined) return { file: `${v1}/freezer.state`, values: { true: "FROZEN", false: "THAWED" }, state: `${v1}/freezer.state`, settled: { true: /^FROZEN$/m, false: /^THAWED$/m } };
  const v2 = cgroups.find((path) => existsSync(`${path}/cgroup.freeze`));
  return v2 === undefined ? undefined : { file: `${v2}/cgroup.freeze`, values: { true: "1", false: "0" }, state: `${v2}/cgroup.events`, settled: { true: /^frozen 1$/m, false: /^frozen 0$/m } };
}

/** Or about to be. */
export const isFrozen = (cgroups: readonly string[]): boolean =>
  cgroups.some((path) => /^(FROZEN|FREEZING)$/m.test(textOf(`${path}/freezer.state`)) || /^frozen 1$/m.test(textOf(`${path}/cgroup.events`)));

export async function setFrozen(cgroups: readonly string[], frozen: boolean): Promise<void> {
  const freezer = freezerOf(cgroups);
  if (freezer === undefined) throw systemError("the container has no freezer cgroup");
  const key = frozen ? "true" : "false";
  for (let attempt = 0; attempt < 1000; attempt++) {
    // A process that forks while it is frozen may be missed: thawed for a moment, it is caught by the next try.
    if (frozen && attempt % 50 === 49) writeFileSync(freezer.file, freezer.values.false);
    writeFileSync(freezer.file, freezer.values[key]);
    if (freezer.settled[key].test(textOf(freezer.state))) return;
    await sleep(Math.min(attempt, 10));
  }
  if (frozen) writeFileSync(freezer.file, freezer.values.false);
  throw systemError(`${freezer.file}: the container cannot be ${frozen ? "frozen" : "thawed"}`);
}

/** A frozen process does not die. */
export function thaw(cgroups: readonly string[]): void {
  const freezer = freezerOf(cgroups);
  if (freezer !== undefined) writeFileSync(freezer.file, freezer.values.false);
}

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
