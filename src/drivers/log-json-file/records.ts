/** Lines of a json-file log as the records that log drivers send. */
import { createHash } from "node:crypto";
import type { LogPart, LogRecord } from "../../core/log-driver.ts";

interface Line {
  log: string;
  stream: string;
  time: string;
}

interface OpenLine {
  time: string;
  id: string;
  ordinal: number;
}

/** Remembers between calls which lines have parts that are to come. */
export class RecordParser {
  readonly #origin: string;
  readonly #open = new Map<string, OpenLine>();

  /** `origin` goes into the ids of lines in parts. */
  constructor(origin: string) {
    this.#origin = origin;
  }

  /** Skips lines that are no records: a torn write. */
  parse(lines: Buffer): LogRecord[] {
    return parseLines(lines.toString()).map((line) => this.#record(line));
  }

  #record({ log, stream, time }: Line): LogRecord {
    const whole = log.endsWith("\n");
    const record: LogRecord = { text: whole ? log.slice(0, -1) : log, stderr: stream === "stderr", time };
    const open = this.#open.get(stream);
    // Parts of a line have one time: another one begins another line, after an end without a newline.
    const part = open?.time === time ? open : undefined;
    if (whole && !part) {
      if (open) this.#open.delete(stream);
      return record;
    }
    record.part = this.#part(stream, part ?? { time, id: this.#idOf(stream, time), ordinal: 0 }, whole);
    return record;
  }

  #part(stream: string, open: OpenLine, last: boolean): LogPart {
    open.ordinal++;
    if (last) this.#open.delete(stream);
    else this.#open.set(stream, open);
    return { id: open.id, ordinal: open.ordinal, last };
  }

  #idOf(stream: string, time: string): string {
    return createHash("sha256").update(`${this.#origin} ${stream} ${time}`).digest("hex");
  }
}

/** One document of all lines is parsed in a third of the time. */
function parseLines(text: string): Line[] {
  try {
    const lines = JSON.parse(`[${text.slice(0, -1).replaceAll("\n", ",")}]`) as unknown[];
    if (lines.every(isLine)) return lines;
  } catch {
    // One at a time finds what is torn.
  }
  return text.split("\n").flatMap((line) => {
    try {
      const parsed: unknown = JSON.parse(line);
      return isLine(parsed) ? [parsed] : [];
    } catch {
      return [];
    }
  });
}

function isLine(value: unknown): value is Line {
  const line = value as Line | null;
  return typeof line === "object" && line !== null && typeof line.log === "string" && typeof line.stream === "string" && typeof line.time === "string";
}

/** Where the last line begins that begins an event, looked for from `from` on; 0 when there is none, or it is the first line. */
export function lastEvent(lines: Buffer, from: number, begins: (text: string) => boolean): number {
  const lineAt = (start: number, end: number): Line | undefined => parseLines(lines.toString("utf8", start, end))[0];
  for (let end = lines.length; end > from; ) {
    const start = end < 2 ? 0 : lines.lastIndexOf(10, end - 2) + 1;
    const line = lineAt(start, end);
    if (line && start > 0 && begins(line.log.replace(/\n$/, ""))) {
      const before = lineAt(lines.lastIndexOf(10, start - 2) + 1, start);
      // A part of a line that began before begins nothing.
      if (!before || before.log.endsWith("\n") || before.stream !== line.stream || before.time !== line.time) return start;
    }
    end = start;
  }
  return 0;
}
