/** Places for mounts, which criu wants to be there before it restores them. */
import { closeSync, constants, mkdirSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import { openDirectory, openInRoot } from "../../sys/archive.ts";
import type { ChildOp } from "../plan/types.ts";

/** Not in the standard library's constants. */
const O_PATH = 0o10000000;

interface Place {
  /** The folder of the host that is seen there; absent: a file system of the container's own, which criu fills. */
  source?: string;
  target: string;
}

/** Makes those that are missing in the root and in the folders that earlier mounts bind; nowhere else, whatever links are there. */
export function makeMountpoints(ops: readonly ChildOp[], root: string): void {
  const places: Place[] = [{ source: root, target: "/" }];
  for (const op of ops) {
    if (op.op !== "bind" && op.op !== "mount" && op.op !== "cgroupMount") continue;
    const around = places.findLast(({ target }) => target === "/" || op.target === target || op.target.startsWith(`${target}/`))!;
    if (around.source !== undefined && op.target !== around.target) makeIn(around.source, op.target.slice(around.target === "/" ? 1 : around.target.length + 1), op.op === "bind" ? isFolder(op.source) : true);
    places.push({ target: op.target, ...(op.op === "bind" && { source: op.source }) });
  }
}

function isFolder(source: string): boolean {
  try {
    return statSync(source).isDirectory();
  } catch (error) {
    throw invalidParameter(`the source of a bind mount: ${messageOf(error)}`, error);
  }
}

function makeIn(folder: string, path: string, isDirectory: boolean): void {
  const root = openDirectory(folder);
  try {
    if (isThere(root, path)) return;
    const parents = dirname(path).split("/").filter((part) => part !== ".");
    parents.forEach((_, index) => makeOne(root, parents.slice(0, index + 1).join("/"), true));
    makeOne(root, path, isDirectory);
  } finally {
    closeSync(root);
  }
}

function isThere(root: number, path: string): boolean {
  try {
    closeSync(openInRoot(root, path, O_PATH));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

/** The name itself is never followed: it is made, or it is an error. */
function makeOne(root: number, path: string, isDirectory: boolean): void {
  if (isThere(root, path)) return;
  const parent = openInRoot(root, dirname(path), constants.O_DIRECTORY | constants.O_RDONLY);
  try {
    const place = `/proc/self/fd/${parent}/${basename(path)}`;
    if (isDirectory) mkdirSync(place, { mode: 0o755 });
    else writeFileSync(place, "", { flag: "wx", mode: 0o755 });
  } finally {
    closeSync(parent);
  }
}
