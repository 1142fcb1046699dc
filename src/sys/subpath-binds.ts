/**
 * Parts of folders whose content is not trusted, as sources of binds: found by fd, without following a link out of the folder, and
 * bound to a place of their own, so that nobody can exchange them between the check and the use.
 *
 *   <dir>/<id>/<n>   a file or folder, one for each part that the owner `id` uses
 */
import { closeSync, existsSync, fstatSync, mkdirSync, readdirSync, rmdirSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openBeneath, openDirectory } from "./archive.ts";
import { bindOpen, detachNow } from "./mounts.ts";

/** Not in the standard library's constants. */
const O_PATH = 0o10000000;

export class SubpathBinds {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** The place where `subpath` of `folder` is bound. Throws the errno's error: EXDEV where a link leads out of the folder. */
  make(id: string, folder: string, subpath: string): string {
    const own = join(this.#dir, id);
    mkdirSync(own, { recursive: true, mode: 0o700 });
    const base = openDirectory(folder);
    let part: number | undefined;
    try {
      part = openBeneath(base, subpath, O_PATH);
      const place = join(own, String(entries(own).length));
      if (fstatSync(part).isDirectory()) mkdirSync(place);
      else writeFileSync(place, "");
      bindOpen(part, place);
      return place;
    } finally {
      closeSync(base);
      if (part !== undefined) closeSync(part);
    }
  }

  /** A new folder at such a place, for what `fill` mounts there. */
  place(id: string, fill: (place: string) => void): string {
    const own = join(this.#dir, id);
    mkdirSync(own, { recursive: true, mode: 0o700 });
    const place = join(own, String(entries(own).length));
    mkdirSync(place);
    fill(place);
    return place;
  }

  /** Idempotent. Containers that use it keep it. */
  release(id: string): void {
    const own = join(this.#dir, id);
    for (const { name, isFolder } of entries(own)) {
      const place = join(own, name);
      detachNow(place);
      // Never recursively: what is mounted is the user's.
      if (isFolder) rmdirSync(place);
      else unlinkSync(place);
    }
    if (existsSync(own)) rmdirSync(own);
  }

  /** Releases those of containers that do not run. */
  sweep(isRunning: (id: string) => boolean): void {
    for (const { name } of entries(this.#dir)) if (!isRunning(name)) this.release(name);
  }
}

function entries(dir: string): { name: string; isFolder: boolean }[] {
  try {
    return readdirSync(dir, { withFileTypes: true }).map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
