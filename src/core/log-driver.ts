/**
 * Drivers of remote logs: what sends a container's lines on to a server. The shim writes the container's log to the disk
 * whatever happens here; a forwarder reads it from a position that it keeps, and hands the records to a sink.
 *
 *   forwarder ──verify──▶ sink      at the container's start: what it throws, the start fails with
 *   forwarder ──send────▶ sink      again and again; one at a time. A position is kept when it resolves
 *   forwarder ──close───▶ sink      after the last record, or ──abort──▶ to have other options
 *
 * A send that rejects is tried again, whole: a server gets every record at least once, and the first time in order.
 */

/** One line, or a part of a line longer than 16 KiB. */
export interface LogRecord {
  /** Without its end of line. */
  text: string;
  stderr: boolean;
  /** RFC 3339 in UTC, up to nine digits of a second; of all parts of a line that of its first. */
  time: string;
  part?: LogPart;
}

export interface LogPart {
  /** The same for all parts of a line. */
  id: string;
  /** From 1 on. */
  ordinal: number;
  last: boolean;
}

/** Where a log comes from, as the drivers tell their servers. */
export interface LogOrigin {
  id: string;
  name: string;
  imageId: string;
  imageName: string;
  command: string;
  /** RFC 3339 with nanoseconds. */
  created: string;
  /** By the option "tag"; empty only if that is. */
  tag: string;
  /** Labels and variables that the options choose. */
  attributes: Readonly<Record<string, string>>;
  hostName: string;
}

export interface LogDriver {
  readonly id: string;
  /** Connects to nothing. Throws for options that no start can do with. */
  open(origin: LogOrigin, options: Readonly<Record<string, string>>): LogSink;
}

export interface LogSink {
  /** How often records are tried before they are given up; absent: for as long as it takes. */
  readonly tries?: number;
  /** Between two tries; absent: growing from 100 ms to 10 s. */
  readonly retryMilliseconds?: number;
  /** For events of several lines: a send begins with a line that begins one, and ends before one, unless the rest does not come for so long. */
  readonly events?: { begins(text: string): boolean; milliseconds: number };
  /** Rejects when the server is not there, unless its protocol or the options say that nobody needs to know. */
  verify(): Promise<void>;
  /** Resolves when the server has the records, as far as its protocol tells, with the reason if it will never take some of them. Rejects when they are to be sent again. */
  send(records: readonly LogRecord[]): Promise<string | undefined>;
  /** Waits a little for the server to take what was sent. Idempotent. */
  close(): Promise<void>;
  /** Gives up at once; a send that is under way rejects. Idempotent. */
  abort(): void;
}

/** A label or variable's name as the drivers' own rules want it. */
export const renamed = (attributes: LogOrigin["attributes"], rename: (key: string) => string): Record<string, string> =>
  Object.fromEntries(Object.entries(attributes).map(([key, value]) => [rename(key), value]));
