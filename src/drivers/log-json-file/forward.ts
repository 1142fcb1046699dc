/** Sends one json-file log on: reads it as it grows, keeps the position, tries again, and clears away what is sent. */
import { watch, type FSWatcher } from "node:fs";
import { readdir, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { ForwardTarget } from "../../core/log-forwarder.ts";
import type { LogRecord, LogSink } from "../../core/log-driver.ts";
import { messageOf } from "../../lib/errors.ts";
import { compressOld, underLock } from "./compress.ts";
import { PositionFile, readPosition } from "./position.ts";
import { lastEvent, RecordParser } from "./records.ts";
import { identity, LogTail, type LogBatch, type LogPosition } from "./tail.ts";
import { Wake } from "./wake.ts";

const BATCH = 256 * 1024;
const SLOW_MS = 100;
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 10_000;
/** Without inotify: how often a log is looked at. */
const POLL_MS = 1000;

type Settings = Pick<ForwardTarget, "waiting" | "keep">;

export interface ForwardOptions extends Settings {
  id: string;
  path: string;
  sink: LogSink;
  warn: (message: string) => void;
  /** All is sent, and the log is not written now. */
  drained: () => void;
}

export class LogForward {
  readonly #options: ForwardOptions;
  readonly #tail: LogTail;
  readonly #position: PositionFile;
  readonly #parser: RecordParser;
  readonly #wake = new Wake();
  #settings: Settings;
  #sink: LogSink;
  #at: LogPosition | undefined;
  /** Lines of an event that may have more of them; sent at the latest then. */
  #held: { lines: Buffer; end: LogPosition; until: number } | undefined;
  #ended = false;
  #stopped = false;
  #failing = false;
  /** That all is sent. */
  #told = false;
  #clearing: Promise<void> = Promise.resolve();

  constructor(options: ForwardOptions) {
    const saved = readPosition(options.path);
    this.#options = options;
    this.#settings = options;
    this.#sink = options.sink;
    this.#at = saved;
    this.#tail = new LogTail(options.path, saved);
    this.#position = new PositionFile(options.path);
    this.#parser = new RecordParser(options.id);
  }

  /** Other options from the next record on. The log is written (again). */
  change(sink: LogSink, settings: Settings): void {
    const before = this.#sink;
    this.#sink = sink;
    this.#settings = settings;
    this.#ended = false;
    void before.close().catch(() => {});
    this.#wake.ring();
  }

  end(): void {
    this.#ended = true;
    this.#told = false;
    this.#wake.ring();
  }

  /** Resolves from run() when the send that is under way is over; `now`: it is given up. */
  stop({ now }: { now: boolean }): void {
    this.#stopped = true;
    if (now) this.#sink.abort();
    this.#wake.ring();
  }

  /** Until it is stopped. */
  async run(): Promise<void> {
    const watcher = this.#watch();
    try {
      while (!this.#stopped) {
        const ended = this.#ended;
        const batch = await this.#tail.next(BATCH);
        if (batch) await this.#take(batch);
        else if (this.#held && (ended || performance.now() >= this.#held.until)) await this.#sendHeld();
        else if (ended) await this.#rest();
        else await this.#wake.wait(this.#patience(watcher ? Infinity : POLL_MS));
      }
    } finally {
      watcher?.close();
      await this.#clearing;
      this.#position.close();
      await this.#tail.close();
    }
  }

  #patience(most: number): number | undefined {
    const least = Math.min(most, this.#held ? Math.max(1, this.#held.until - performance.now()) : Infinity);
    return least === Infinity ? undefined : least;
  }

  /** The last event waits for the rest of it. */
  async #take({ lines: more, end }: LogBatch): Promise<void> {
    const { events } = this.#sink;
    if (!events) {
      await this.#sendHeld();
      return this.#deliver(this.#parser.parse(more), end);
    }
    const { lines, until } = this.#held ? { lines: Buffer.concat([this.#held.lines, more]), until: this.#held.until } : { lines: more, until: performance.now() + events.milliseconds };
    const known = lines.length - more.length;
    const cut = lastEvent(lines, known, events.begins);
    if (cut > 0) await this.#deliver(this.#parser.parse(lines.subarray(0, cut)), { file: end.file, offset: end.offset - (lines.length - cut) });
    this.#held = { lines: lines.subarray(cut), end, until: cut > 0 ? performance.now() + events.milliseconds : until };
    if (this.#held.lines.length >= BATCH || performance.now() >= this.#held.until) await this.#sendHeld();
  }

  async #sendHeld(): Promise<void> {
    const held = this.#held;
    this.#held = undefined;
    if (held) await this.#deliver(this.#parser.parse(held.lines), held.end);
  }

  /** Everything is sent: waits until the log is written again. */
  async #rest(): Promise<void> {
    await this.#sink.close().catch(() => {});
    await this.#clearLater();
    if (!this.#ended || this.#stopped) return;
    if (!this.#told) {
      if (this.#at) this.#position.write({ ...this.#at, drained: true });
      this.#options.drained();
      this.#told = true;
    }
    await this.#wake.wait();
  }

  async #deliver(records: readonly LogRecord[], end: LogPosition): Promise<void> {
    let delay = FIRST_RETRY_MS;
    for (let tries = 1; records.length > 0; tries++) {
      const sink = this.#sink;
      const began = performance.now();
      try {
        const refused = await sink.send(records);
        if (refused !== undefined) this.#options.warn(`lines of the log of container ${this.#options.id} were not taken: ${refused}`);
        if (this.#failing) this.#options.warn(`the log of container ${this.#options.id} is sent again`);
        this.#failing = false;
        this.#moved(end);
        if (performance.now() - began > SLOW_MS) await this.#skip();
        return;
      } catch (error) {
        if (this.#stopped) return;
        if (!this.#failing) this.#options.warn(`the log of container ${this.#options.id} cannot be sent, it is tried again: ${messageOf(error)}`);
        this.#failing = true;
        if (tries === sink.tries) {
          this.#options.warn(`${records.length} lines of the log of container ${this.#options.id} are given up after ${tries} tries`);
          break;
        }
        if (await this.#skip()) return;
      }
      if (sink !== this.#sink) tries = 0;
      await this.#wait(sink.retryMilliseconds ?? delay);
      if (this.#stopped) return;
      delay = Math.min(delay * 2, LAST_RETRY_MS);
    }
    this.#moved(end);
  }

  /** A log that grows meanwhile is no reason to try again. */
  async #wait(milliseconds: number): Promise<void> {
    const until = performance.now() + milliseconds;
    const sink = this.#sink;
    for (let left = milliseconds; left > 0 && !this.#stopped && sink === this.#sink; left = until - performance.now()) await this.#wake.wait(left);
  }

  #moved(end: LogPosition): void {
    const isNext = this.#at !== undefined && this.#at.file !== end.file;
    this.#at = end;
    this.#told = false;
    this.#position.write({ ...end, drained: false });
    if (isNext) void this.#clearLater();
  }

  /** One at a time. */
  #clearLater(): Promise<void> {
    return (this.#clearing = this.#clearing.then(() => this.#clear()));
  }

  /** With mode=non-blocking: the oldest of what waits is not sent when it is too much. */
  async #skip(): Promise<boolean> {
    const { waiting } = this.#settings;
    if (waiting === "all" || (await this.#tail.waiting(this.#at)) <= waiting) return false;
    const position = await this.#tail.skipTo(waiting, this.#at);
    if (!position) return false;
    this.#held = undefined;
    this.#options.warn(`lines of the log of container ${this.#options.id} are not sent: more than ${waiting} bytes wait (max-buffer-size)`);
    this.#moved(position);
    return true;
  }

  /** Files before the one that is sent now are removed or compressed. */
  async #clear(): Promise<void> {
    const { path, warn, id } = this.#options;
    const { files, compress } = this.#settings.keep;
    try {
      await underLock(path, async () => {
        const own = await this.#number();
        for (const { name, number } of await rotated(path)) if (number > own && number >= files) await rm(join(dirname(path), name), { force: true });
      });
      if (compress) await compressOld(path, () => this.#number());
    } catch (error) {
      if (!this.#stopped) warn(`old files of the log of container ${id}: ${messageOf(error)}`);
    }
  }

  /** Which of the files is sent now: 0 is the one being written. Infinity: it is gone. */
  async #number(): Promise<number> {
    for (let number = 0; ; number++) {
      try {
        if (identity(await stat(number === 0 ? this.#options.path : `${this.#options.path}.${number}`, { bigint: true })) === this.#at?.file) return number;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
        if (number > 0) return Infinity;
      }
    }
  }

  /** Where the machine has no more watches the log is looked at now and then. */
  #watch(): FSWatcher | undefined {
    const { path } = this.#options;
    try {
      const watcher = watch(dirname(path), { persistent: false }, (_, name) => {
        if (name === null || name === basename(path)) this.#wake.ring();
      });
      watcher.on("error", () => {});
      return watcher;
    } catch {
      return undefined;
    }
  }
}

async function rotated(path: string): Promise<{ name: string; number: number }[]> {
  const prefix = `${basename(path)}.`;
  return (await readdir(dirname(path))).flatMap((name) => {
    const match = name.startsWith(prefix) ? /^(\d+)(?:\.gz)?$/.exec(name.slice(prefix.length)) : null;
    return match ? [{ name, number: Number(match[1]) }] : [];
  });
}
