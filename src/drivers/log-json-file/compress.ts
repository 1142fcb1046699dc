/**
 * Compressing rotated files of a log, path.N to path.N.gz, while the shim writes and rotates. Its content is compressed aside; then, under the lock of the
 * folder, which the shim takes to rotate, the result is put in the place of the file, wherever that is by now. A file that
 * was dropped meanwhile has no place. The time of the last line is kept.
 */
import { constants, watch } from "node:fs";
import { open, readdir, rename, rm, unlink, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { createGzip } from "node:zlib";
import { setTimeout as delay } from "node:timers/promises";
import type { LogCompressor } from "../../core/log.ts";
import { messageOf } from "../../lib/errors.ts";
import { lockNow } from "../../sys/file-lock.ts";
import { inodeOf, transform } from "./files.ts";

const LOCK_TRIES = 100;

export function jsonFileCompressor(warn: (message: string) => void): LogCompressor {
  return {
    watch(source, wanted = () => true) {
      const compress = compressing(source.path, warn);
      const run = (): void => {
        if (wanted()) compress();
      };
      const stop = onRename(dirname(source.path), { run, warn });
      run();
      void source.ended.catch(() => {}).then(() => (stop(), run()));
    },
  };
}

/** Where the machine has no more watches the files are compressed at the container's end. */
function onRename(folder: string, { run, warn }: { run: () => void; warn: (message: string) => void }): () => void {
  try {
    const watcher = watch(folder, { persistent: false }, (event) => event === "rename" && run());
    watcher.on("error", () => watcher.close());
    return () => watcher.close();
  } catch (error) {
    warn(`logs in ${folder} are compressed only when their container ends: ${messageOf(error)}`);
    return () => {};
  }
}

/** One at a time, and once more when it was asked for meanwhile. */
function compressing(path: string, warn: (message: string) => void): () => void {
  let state: "idle" | "running" | "again" = "idle";
  const run = async (): Promise<void> => {
    do {
      state = "running";
      await compressOld(path).catch((error: unknown) => warn(`compressing old files of ${path}: ${messageOf(error)}`));
    } while ((state as string) === "again");
    state = "idle";
  };
  return () => {
    if (state === "idle") void run();
    else state = "again";
  };
}

/** Compresses what is rotated and plain, oldest first; with `above`, only what has a higher number. */
export async function compressOld(path: string, above: () => Promise<number> = async () => 0): Promise<void> {
  for (;;) {
    const number = await oldestPlain(path);
    if (number === undefined || number <= (await above())) return;
    if (!(await compressOne(path, number))) return;
  }
}

async function oldestPlain(path: string): Promise<number | undefined> {
  const prefix = `${basename(path)}.`;
  const names = await readdir(dirname(path)).catch(() => [] as string[]);
  const numbers = names.filter((name) => name.startsWith(prefix) && /^[1-9]\d*$/.test(name.slice(prefix.length))).map((name) => Number(name.slice(prefix.length)));
  return numbers.length === 0 ? undefined : Math.max(...numbers);
}

/** False when it should not be tried again now. */
async function compressOne(path: string, number: number): Promise<boolean> {
  const aside = join(dirname(path), `.${basename(path)}.gz`);
  let plain: FileHandle;
  try {
    plain = await open(`${path}.${number}`, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return true;
    throw error;
  }
  try {
    const { ino, atime, mtime } = await plain.stat();
    const target = await open(aside, "w", 0o640);
    try {
      await transform(plain, createGzip(), target);
      await target.utimes(atime, mtime);
    } finally {
      await target.close();
    }
    return await replace(path, { ino, aside, from: number });
  } finally {
    await plain.close();
    await rm(aside, { force: true });
  }
}

/** The file has this number or a higher one by now. */
async function replace(path: string, { ino, aside, from }: { ino: number; aside: string; from: number }): Promise<boolean> {
  const done = await underLock(path, async () => {
    for (let number = from; ; number++) {
      const found = await inodeOf(`${path}.${number}`);
      if (found === ino) {
        await rename(aside, `${path}.${number}.gz`);
        await unlink(`${path}.${number}`);
        return true;
      }
      if (found === 0 && (await inodeOf(`${path}.${number}.gz`)) === 0) return true;
    }
  });
  return done === true;
}

/** Nothing is rotated while `run` works; undefined: the lock was not to be had. */
export async function underLock<T>(path: string, run: () => Promise<T>): Promise<T | undefined> {
  const folder = await open(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    for (let tries = 0; !lockNow(folder.fd); tries++) {
      if (tries === LOCK_TRIES) return undefined;
      await delay(5);
    }
    return await run();
  } finally {
    await folder.close();
  }
}
