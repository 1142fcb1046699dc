/** Reads a json-file log in batches of whole lines from a position that outlives the reader, through rotations. */
import type { BigIntStats } from "node:fs";
import { closeLogFiles, openLogFiles, type LogFile } from "./files.ts";
import { stat } from "node:fs/promises";

export interface LogPosition {
  /** Of the file: numbers of inodes come again, with another time of birth. */
  file: string;
  offset: number;
}

export interface LogBatch {
  /** Whole lines with their ends. */
  lines: Buffer;
  /** Where the next batch begins. */
  end: LogPosition;
}

interface Current {
  handle: LogFile["handle"];
  file: string;
  offset: number;
}

const LINE_MOST = 8 * 1024 * 1024;

export class LogTail {
  readonly #path: string;
  #from: LogPosition | undefined;
  #current: Current | undefined;

  /** Without a position, and when its file is not there any more, from the oldest line that there is. */
  constructor(path: string, from: LogPosition | undefined) {
    this.#path = path;
    this.#from = from;
  }

  /** About so many bytes; undefined: there is nothing more now. */
  async next(bytes: number): Promise<LogBatch | undefined> {
    for (;;) {
      const current = (this.#current ??= await this.#open());
      if (!current) return undefined;
      const rotated = await this.#isRotated(current);
      // Asked before it is read: whoever rotates has written everything before.
      const batch = await read(current, bytes);
      if (batch || !rotated) return batch;
      const next = await this.#successor(current);
      if (!next) return undefined;
      this.#current = next;
      await current.handle.close();
    }
  }

  /** How many bytes are after a position. */
  async waiting(from: LogPosition | undefined): Promise<number> {
    const files = await openLogFiles(this.#path);
    try {
      const { index, identities } = await indexOf(files, from);
      return files.slice(index).reduce((sum, file) => sum + file.size, 0) - offsetIn(identities[index], from);
    } finally {
      await closeLogFiles(files);
    }
  }

  /** Goes on after `from`, from about so many bytes before the end. */
  async skipTo(bytes: number, from: LogPosition | undefined): Promise<LogPosition | undefined> {
    const files = await openLogFiles(this.#path);
    try {
      const { index, identities } = await indexOf(files, from);
      let left = bytes;
      for (let at = files.length - 1; at >= index; at--) {
        const file = files[at] as LogFile;
        if (file.size < left && at > index) {
          left -= file.size;
          continue;
        }
        const start = Math.max(0, file.size - left, offsetIn(identities[at], from));
        await this.close();
        return (this.#from = { file: identities[at] as string, offset: start === 0 ? 0 : await lineStart(file, start) });
      }
      return undefined;
    } finally {
      await closeLogFiles(files);
    }
  }

  async close(): Promise<void> {
    await this.#current?.handle.close();
    this.#current = undefined;
  }

  async #open(): Promise<Current | undefined> {
    const files = await openLogFiles(this.#path);
    const { index, identities } = await indexOf(files, this.#from);
    const chosen = files[index];
    await closeLogFiles(files.filter((file) => file !== chosen));
    const file = identities[index];
    return chosen && file !== undefined ? { handle: chosen.handle, file, offset: offsetIn(file, this.#from) } : undefined;
  }

  async #isRotated(current: Current): Promise<boolean> {
    try {
      return identity(await stat(this.#path, { bigint: true })) !== current.file;
    } catch {
      return false;
    }
  }

  async #successor({ file }: Current): Promise<Current | undefined> {
    const files = await openLogFiles(this.#path);
    const identities = await identitiesOf(files);
    const index = identities.indexOf(file);
    const next = index === -1 ? files.findIndex((one) => !one.compressed) : index + 1;
    const chosen = files[next];
    await closeLogFiles(files.filter((one) => one !== chosen));
    return chosen && { handle: chosen.handle, file: identities[next] as string, offset: 0 };
  }
}

/** Where the file of the position is. Compressed files were sent before they were compressed. */
async function indexOf(files: readonly LogFile[], from: LogPosition | undefined): Promise<{ index: number; identities: string[] }> {
  const identities = await identitiesOf(files);
  const found = from === undefined ? -1 : identities.indexOf(from.file);
  return { index: found === -1 ? Math.max(0, files.findIndex((file) => !file.compressed)) : found, identities };
}

const offsetIn = (file: string | undefined, from: LogPosition | undefined): number => (from !== undefined && from.file === file ? from.offset : 0);

const identitiesOf = (files: readonly LogFile[]): Promise<string[]> => Promise.all(files.map(async ({ handle }) => identity(await handle.stat({ bigint: true }))));

export const identity = ({ ino, birthtimeNs }: BigIntStats): string => `${ino}.${birthtimeNs}`;

async function read(current: Current, bytes: number): Promise<LogBatch | undefined> {
  for (let size = bytes; ; size *= 2) {
    const { bytesRead, buffer } = await current.handle.read(Buffer.allocUnsafe(size), 0, size, current.offset);
    const end = buffer.subarray(0, bytesRead).lastIndexOf(10) + 1;
    if (end > 0) {
      current.offset += end;
      return { lines: buffer.subarray(0, end), end: { file: current.file, offset: current.offset } };
    }
    if (bytesRead < size || size > LINE_MOST) return undefined;
  }
}

async function lineStart(file: LogFile, offset: number): Promise<number> {
  const buffer = Buffer.allocUnsafe(256 * 1024);
  const { bytesRead } = await file.handle.read(buffer, 0, buffer.length, offset - 1);
  const at = buffer.subarray(0, bytesRead).indexOf(10);
  return at === -1 ? offset : offset + at;
}
