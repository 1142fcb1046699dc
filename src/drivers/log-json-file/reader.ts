/** Reads json-file logs: tail and since by seeking, records decoded in C, rotation followed by inode. */
import { type FSWatcher, watch } from "node:fs";
import { dirname } from "node:path";
import type { LogOptions, LogReader, LogSource } from "../../core/log.ts";
import { decodeJsonLog, type DecodeOptions } from "../../sys/json-log.ts";
import { closeLogFiles, inflate, inodeOf, openLogFile, openLogFiles, sinceOffset, tailOffset, type LogFile } from "./files.ts";
import { Wake } from "./wake.ts";

/** One step of decoding: large enough for speed, small enough to keep the event loop below 2 ms. */
const CHUNK = 1024 * 1024;

export const jsonFileReader: LogReader = {
  read: async (source, options) => chunks(source, options, options.tail === 0 && !options.follow ? [] : await openLogFiles(source.path)),
};

/** Closes the files. */
async function* chunks(source: LogSource, options: LogOptions, files: LogFile[]): AsyncGenerator<Buffer> {
  try {
    const first = await firstPosition(files, options);
    const decoder = new Decoder(options);
    for (let index = first.index; index < files.length; index++) {
      const last = index === files.length - 1;
      await inflate(files[index] as LogFile);
      const offset = index === first.index ? first.offset : 0;
      const position = yield* decodeToEnd(files[index] as LogFile, offset, decoder);
      if (decoder.done || options.signal.aborted) return;
      if (last && options.follow) yield* follow(source, { file: files[index] as LogFile, position }, decoder, options);
    }
    if (files.length === 0 && options.follow) yield* follow(source, undefined, decoder, options);
  } finally {
    await closeLogFiles(files);
  }
}

/** Which file and offset to begin at. */
async function firstPosition(files: LogFile[], options: LogOptions): Promise<{ index: number; offset: number }> {
  if (options.tail !== undefined) {
    let wanted = options.tail;
    for (let index = files.length - 1; index >= 0; index--) {
      await inflate(files[index] as LogFile);
      const { offset, found } = await tailOffset(files[index] as LogFile, wanted);
      wanted -= found;
      if (wanted <= 0 || index === 0) return { index, offset };
    }
    return { index: 0, offset: 0 };
  }
  if (options.since !== undefined) {
    const oldest = Number(options.since / 1_000_000n);
    for (let index = files.length - 1; index >= 0; index--) {
      // Its last line is older: what is after it begins with the next file.
      if ((files[index] as LogFile).compressed && (files[index] as LogFile).mtime < oldest) return { index: Math.min(index + 1, files.length - 1), offset: 0 };
      await inflate(files[index] as LogFile);
      const offset = await sinceOffset(files[index] as LogFile, options.since);
      if (offset > 0 || index === 0) return { index, offset };
    }
  }
  return { index: 0, offset: 0 };
}

/** Decodes from `offset` to the present end of the file; returns where the next read begins. */
async function* decodeToEnd(file: LogFile, offset: number, decoder: Decoder): AsyncGenerator<Buffer, number> {
  let input = Buffer.allocUnsafe(CHUNK);
  let held = 0;
  for (;;) {
    if (held === input.length) input = Buffer.concat([input, Buffer.allocUnsafe(input.length)]);
    const { bytesRead } = await file.handle.read(input, held, input.length - held, offset + held);
    held += bytesRead;
    let start = 0;
    for (;;) {
      const step = decoder.decode(input, start, held);
      start += step.consumed;
      if (step.output.length > 0) yield step.output;
      if (decoder.done) return offset + start;
      if (!step.more) break;
    }
    input.copyWithin(0, start, held);
    offset += start;
    held -= start;
    if (bytesRead === 0) return offset;
  }
}

class Decoder {
  done = false;
  #options: DecodeOptions;
  #room = CHUNK;

  constructor(options: LogOptions) {
    this.#options = { stdout: options.stdout, stderr: options.stderr, frames: options.frames, timestamps: options.timestamps, details: options.details, since: options.since, until: options.until };
  }

  decode(input: Buffer, start: number, end: number): { output: Buffer; consumed: number; more: boolean } {
    const output = Buffer.allocUnsafe(Math.min(this.#room, Math.max(4096, (end - start) * 2)));
    const decoded = decodeJsonLog(input, start, end, output, this.#options);
    if (decoded.pastUntil) this.done = true;
    if (decoded.outputFull && decoded.produced === 0) this.#room *= 2;
    return { output: output.subarray(0, decoded.produced), consumed: decoded.consumed, more: decoded.outputFull && !decoded.pastUntil };
  }
}

/** Waits for growth by inotify and reads on, through rotations, until the container has ended and nothing is left. */
async function* follow(source: LogSource, from: { file: LogFile; position: number } | undefined, decoder: Decoder, options: LogOptions): AsyncGenerator<Buffer> {
  let ended = false;
  const wake = new Wake();
  void source.ended.then(
    () => ((ended = true), wake.ring()),
    () => ((ended = true), wake.ring()),
  );
  const onAbort = (): void => wake.ring();
  options.signal.addEventListener("abort", onAbort, { once: true });
  const watcher = watchFolder(dirname(source.path), wake);
  const timer = deadline(options.until, wake);
  let current = from;
  const opened: LogFile[] = [];
  try {
    for (;;) {
      const over = ended || timer.passed;
      if (current) {
        current.position = yield* decodeToEnd(current.file, current.position, decoder);
        if (decoder.done || options.signal.aborted) return;
      }
      const next = await successor(source.path, current?.file);
      if (next) {
        opened.push(next);
        // What was written between the last read and the rotation.
        if (current) current.position = yield* decodeToEnd(current.file, current.position, decoder);
        current = { file: next, position: 0 };
        continue;
      }
      if (over || options.signal.aborted) return;
      await wake.wait();
    }
  } finally {
    options.signal.removeEventListener("abort", onAbort);
    clearTimeout(timer.handle);
    watcher?.close();
    await closeLogFiles(opened);
  }
}

/** Undefined when it is gone with its container: nothing more comes. */
function watchFolder(folder: string, wake: Wake): FSWatcher | undefined {
  try {
    return watch(folder, { persistent: false }, () => wake.ring()).on("error", () => wake.ring());
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** The file that follows `file` in time, when it was rotated away or did not exist yet. */
async function successor(path: string, file: LogFile | undefined): Promise<LogFile | undefined> {
  if (!file) return openLogFile(path);
  if ((await inodeOf(path)) === file.ino) return undefined;
  const files = await openLogFiles(path);
  const { mtimeMs } = await file.handle.stat();
  // What was compressed meanwhile is another file, of the same time.
  const index = files.findLastIndex((candidate) => candidate.ino === file.ino || (candidate.compressed && Math.abs(candidate.mtime - mtimeMs) < 1));
  // Rotated out altogether while we read: the oldest that is left is the best that can be had.
  const next = index === -1 ? files[0] : files[index + 1];
  await closeLogFiles(files.filter((candidate) => candidate !== next));
  if (next) await inflate(next);
  return next;
}

/** `follow` with `until` ends when that moment passes, even when nothing is written. */
function deadline(until: bigint | undefined, wake: Wake): { passed: boolean; handle: NodeJS.Timeout | undefined } {
  const state: { passed: boolean; handle: NodeJS.Timeout | undefined } = { passed: false, handle: undefined };
  if (until === undefined) return state;
  const milliseconds = Number(until / 1_000_000n) - Date.now();
  if (milliseconds <= 0) state.passed = true;
  else if (milliseconds < 2 ** 31) state.handle = setTimeout(() => ((state.passed = true), wake.ring()), milliseconds);
  return state;
}
