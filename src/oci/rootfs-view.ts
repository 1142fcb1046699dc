/** Looking into a root file system by fd: an overlay that is mounted nowhere, or a folder. */
import { closeSync, constants, fstatSync, readdirSync } from "node:fs";
import type { CopyTarget, OpenRootfs, RootfsView } from "../core/rootfs.ts";
import type { RootfsMount } from "../core/runtime.ts";
import { systemError } from "../lib/errors.ts";
import { attachMount, bindOpen, errnoMessage } from "../sys/mounts.ts";
import { openMapped } from "../sys/user-namespace.ts";
import { copyOpenTree, openDirectory, openInRoot, openOverlay } from "../sys/archive.ts";

/** Not in the standard library's constants. */
const O_PATH = 0o10000000;

export const openRootfs: OpenRootfs = (mounts) => new OpenedRootfs(...openRoot(mounts));

/** Read-only: the own layer is the topmost lower one, so that a container that runs is not disturbed. */
export function openRoot(mounts: readonly RootfsMount[]): [root: number, kind: "folder" | "mount"] {
  const mount = mounts.at(-1);
  if (!mount) throw new Error("a root file system has no mounts");
  const { maps } = mount;
  if (mount.type === "bind") return maps ? [openMapped(mount.source, maps), "mount"] : [openDirectory(mount.source), "folder"];
  const lower = [mount.upper, ...mount.lower];
  if (lower.length > 1) return [openOverlay({ lower, options: mount.options, maps }), "mount"];
  return maps ? [openMapped(mount.upper, maps), "mount"] : [openDirectory(mount.upper), "folder"];
}

class OpenedRootfs implements RootfsView {
  readonly #root: number;
  readonly #kind: "folder" | "mount";

  constructor(root: number, kind: "folder" | "mount") {
    this.#root = root;
    this.#kind = kind;
  }

  kindOf(path: string): "folder" | "other" | undefined {
    const fd = openOrNothing(this.#root, path, O_PATH);
    if (fd === undefined) return undefined;
    try {
      return fstatSync(fd).isDirectory() ? "folder" : "other";
    } finally {
      closeSync(fd);
    }
  }

  async copyOut(path: string, { folder, subpath }: CopyTarget): Promise<boolean> {
    using opened = new DisposableStack();
    const open = (root: number, below: string): number | undefined => {
      const fd = openOrNothing(root, below, constants.O_RDONLY | constants.O_DIRECTORY);
      if (fd !== undefined) opened.defer(() => closeSync(fd));
      return fd;
    };
    const from = open(this.#root, path);
    if (from === undefined) return false;
    const base = openDirectory(folder);
    opened.defer(() => closeSync(base));
    const to = open(base, subpath === "" ? "." : subpath);
    if (to === undefined || readdirSync(`/proc/self/fd/${to}`).length > 0) return false;
    await copyOpenTree(from, to);
    return true;
  }

  attach(place: string): void {
    try {
      if (this.#kind === "mount") attachMount(this.#root, place);
      else bindOpen(this.#root, place);
    } catch (error) {
      throw systemError(`${place}: ${errnoMessage(error)}`, error);
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#root);
  }
}

function openOrNothing(root: number, path: string, flags: number): number | undefined {
  try {
    return openInRoot(root, path, flags);
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw systemError(`${path}: ${errnoMessage(error)}`, error);
  }
}
