/** The files of one json-file log, oldest first, and positions in them. */
import { open, stat, unlink, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { randomId } from "../../lib/random-id.ts";
import { jsonLogLineTime } from "../../sys/json-log.ts";

export interface LogFile {
  folder: string;
  handle: FileHandle;
  ino: number;
  size: number;
  /** Milliseconds since 1970: of the last write, also of the file that was compressed. */
  mtime: number;
  /** `handle` and `size` are of the compressed file. */
  compressed: boolean;
}

const STEP = 64 * 1024;

/**
 * Opens path.N ... path.1, path as far as they exist. A rotation between two opens shows as another file at path or the same inode
 * twice: the set is then read again.
 */
export async function openLogFiles(path: string): Promise<LogFile[]> {
  for (let attempt = 0; ; attempt++) {
    const files: LogFile[] = [];
    let newest = 0;
    for (let number = 0; ; number++) {
      const file = await (number === 0 ? openLogFile(path) : openOld(`${path}.${number}`));
      if (file && number === 0) newest = file.ino;
      if (file) files.unshift(file);
      else if (number > 0) break;
    }
    if (attempt === 3 || (new Set(files.map((file) => file.ino)).size === files.length && (await inodeOf(path)) === newest)) return files;
    await closeLogFiles(files);
  }
}

/** Opens one log file; undefined when it does not exist. */
export async function openLogFile(path: string): Promise<LogFile | undefined> {
  try {
    const handle = await open(path, "r");
    const { ino, size, mtimeMs } = await handle.stat();
    return { folder: dirname(path), handle, ino, size, mtime: mtimeMs, compressed: false };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

async function openOld(path: string): Promise<LogFile | undefined> {
  const plain = await openLogFile(path);
  if (plain) return plain;
  const file = await openLogFile(`${path}.gz`);
  return file && { ...file, compressed: true };
}

/** Before its content is read: what is compressed is inflated into a file without a name. */
export async function inflate(file: LogFile): Promise<void> {
  if (!file.compressed) return;
  const path = join(file.folder, `.inflated-${randomId()}`);
  const handle = await open(path, "wx+", 0o600);
  try {
    await unlink(path);
    await transform(file.handle, createGunzip(), handle);
    const packed = file.handle;
    file.size = (await handle.stat()).size;
    file.handle = handle;
    file.compressed = false;
    await packed.close();
  } catch (error) {
    if (file.handle !== handle) await handle.close();
    throw error;
  }
}

/** From the beginning of one file into another; both stay open. */
export function transform(from: FileHandle, through: Transform, into: FileHandle): Promise<void> {
  return pipeline(
    contents(from),
    through,
    async (source: AsyncIterable<Buffer>) => {
      for await (const chunk of source) await into.writeFile(chunk);
    },
  );
}

async function* contents(file: FileHandle): AsyncGenerator<Buffer> {
  for (let position = 0; ; ) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(STEP), 0, STEP, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

export async function closeLogFiles(files: readonly LogFile[]): Promise<void> {
  await Promise.allSettled(files.map((file) => file.handle.close()));
}

/** The inode that `path` names now, 0 when it does not exist. */
export async function inodeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).ino;
  } catch {
    return 0;
  }
}

/** Where the last `count` lines of the file begin, and how many of them were found. A line that is not ended yet does not count. */
export async function tailOffset(file: LogFile, count: number): Promise<{ offset: number; found: number }> {
  if (count === 0) return { offset: file.size, found: 0 };
  const buffer = Buffer.allocUnsafe(STEP);
  let found = -1;
  for (let end = file.size; end > 0; ) {
    const start = Math.max(0, end - STEP);
    const { bytesRead } = await file.handle.read(buffer, 0, end - start, start);
    for (let at = buffer.lastIndexOf(10, bytesRead - 1); at !== -1 && at < bytesRead; at = at === 0 ? -1 : buffer.lastIndexOf(10, at - 1)) {
      found++;
      if (found === count) return { offset: start + at + 1, found };
    }
    end = start;
  }
  return { offset: 0, found: Math.max(0, found) + (found >= 0 ? 1 : 0) };
}

/** An offset at a line's start at or before the first record that is not older than `since`, by bisection: records are in order of time. */
export async function sinceOffset(file: LogFile, since: bigint): Promise<number> {
  let low = 0;
  let high = file.size;
  while (high - low > STEP) {
    const middle = Math.floor((low + high) / 2);
    const line = await lineAfter(file, middle, high);
    if (!line) {
      high = middle;
      continue;
    }
    if (line.time === undefined || line.time >= since) high = middle;
    else low = line.start;
  }
  return low;
}

/** The first whole line that begins after `offset` and before `limit`. */
async function lineAfter(file: LogFile, offset: number, limit: number): Promise<{ start: number; time: bigint | undefined } | undefined> {
  const buffer = Buffer.allocUnsafe(Math.min(STEP * 4, limit - offset));
  const { bytesRead } = await file.handle.read(buffer, 0, buffer.length, offset);
  const first = buffer.subarray(0, bytesRead).indexOf(10);
  if (first === -1) return undefined;
  const second = buffer.subarray(0, bytesRead).indexOf(10, first + 1);
  if (second === -1) return undefined;
  return { start: offset + first + 1, time: jsonLogLineTime(buffer.subarray(first + 1, second)) };
}
