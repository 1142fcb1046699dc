/**
 * Events on the disk, so that they outlive the daemon: one line of JSON each, in files that are named by their first event's
 * time. An event is in the page cache before anyone hears of it, and so survives the daemon's end, however that comes; it is not
 * synced, so a power cut may cost the last ones. The oldest file goes when there are too many bytes, or all in it is too old.
 */
import { closeSync, mkdirSync, openSync, readdirSync, rmSync, statSync, writeSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../lib/errors.ts";

/** The budget is divided into so many files. */
const FILES = 8;
const READ_BYTES = 256 * 1024;

export interface JournalOptions {
  folder: string;
  /** Bytes on the disk, about. */
  maxBytes: number;
  maxAgeMilliseconds: number;
  warn: (message: string) => void;
}

interface Segment {
  path: string;
  /** Nanoseconds since 1970 of its first event. */
  first: bigint;
}

export class EventJournal {
  readonly #options: JournalOptions;
  #segments: Segment[] | undefined;
  #fd: number | undefined;
  #size = 0;
  #failed = false;

  constructor(options: JournalOptions) {
    this.#options = options;
  }

  /** Adds a line, which ends with a newline. A failure is told once and costs the line, never the event's listeners. */
  append(line: string, at: bigint): void {
    try {
      if (this.#fd === undefined || this.#size >= this.#options.maxBytes / FILES) this.#rotate(at);
      this.#size += writeSync(this.#fd as number, line);
      this.#failed = false;
    } catch (error) {
      if (!this.#failed) this.#options.warn(`an event could not be kept: ${messageOf(error)}`);
      this.#failed = true;
    }
  }

  /** The lines of files that were written to at or after `since`, oldest first, in batches. A line that was cut off is among them. */
  async *read(since: bigint): AsyncGenerator<string[]> {
    for (const { path } of [...this.#known()]) {
      const file = await open(path).catch(() => undefined);
      if (file === undefined) continue;
      try {
        if ((await file.stat({ bigint: true })).mtimeNs >= since) yield* linesOf(file.createReadStream({ highWaterMark: READ_BYTES, autoClose: false }));
      } finally {
        await file.close();
      }
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  /** Goes on in the newest file if it has room, or begins another. */
  #rotate(at: bigint): void {
    const segments = this.#known();
    const last = segments.at(-1);
    const begun = this.#fd !== undefined;
    this.close();
    const size = last === undefined || begun ? undefined : statSync(last.path, { throwIfNoEntry: false })?.size;
    const goesOn = size !== undefined && size < this.#options.maxBytes / FILES;
    const first = last === undefined || at > last.first ? at : last.first + 1n;
    const path = goesOn ? (last as Segment).path : join(this.#options.folder, `${first}.jsonl`);
    this.#fd = openSync(path, "a", 0o600);
    this.#size = size !== undefined && goesOn ? size : 0;
    // A line that was cut off by a full disk or a power cut must not spoil the next one.
    if (goesOn) this.#size += writeSync(this.#fd, "\n");
    else segments.push({ path, first });
    this.#forget(at);
  }

  #forget(now: bigint): void {
    const segments = this.#known();
    const oldest = now - BigInt(this.#options.maxAgeMilliseconds) * 1_000_000n;
    while (segments.length > 1 && (segments.length > FILES || (segments[1] as Segment).first < oldest)) rmSync((segments.shift() as Segment).path, { force: true });
  }

  #known(): Segment[] {
    if (this.#segments) return this.#segments;
    mkdirSync(this.#options.folder, { recursive: true, mode: 0o700 });
    const names = readdirSync(this.#options.folder).filter((name) => /^\d+\.jsonl$/.test(name));
    const segments = names.map((name) => ({ path: join(this.#options.folder, name), first: BigInt(name.slice(0, -".jsonl".length)) }));
    this.#segments = segments.sort((one, two) => (one.first < two.first ? -1 : 1));
    return this.#segments;
  }
}

async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<string[]> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield lines;
  }
  if (rest !== "") yield [rest];
}
