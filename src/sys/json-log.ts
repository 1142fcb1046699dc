/** Views of native/addon/log.c: decoding Docker's json-file log format at memory speed. */
import { addon } from "./addon.ts";

export interface DecodeOptions {
  stdout: boolean;
  stderr: boolean;
  /** Docker's 8-byte stream header before each record. */
  frames: boolean;
  timestamps: boolean;
  details: boolean;
  /** Nanoseconds since 1970. */
  since: bigint | undefined;
  until: bigint | undefined;
}

export interface Decoded {
  /** Bytes of input used up: whole lines only. */
  consumed: number;
  /** Bytes written to output. */
  produced: number;
  records: number;
  pastUntil: boolean;
  /** The next line did not fit: call again with room, or with a larger output when nothing was produced. */
  outputFull: boolean;
}

const MIN = -(2n ** 63n);
const MAX = 2n ** 63n - 1n;
const native = addon as {
  decodeJsonLog(input: Uint8Array, start: number, end: number, output: Uint8Array, streams: number, flags: number, since: bigint, until: bigint, result: Uint32Array): void;
  jsonLogLineTime(line: Uint8Array): bigint;
};
const result = new Uint32Array(4);

/** Decodes the whole lines of input[start, end) into output. Lines that are no records (a torn write) are skipped. */
export function decodeJsonLog(input: Uint8Array, start: number, end: number, output: Uint8Array, options: DecodeOptions): Decoded {
  const streams = (options.stdout ? 1 : 0) | (options.stderr ? 2 : 0);
  const flags = (options.frames ? 1 : 0) | (options.timestamps ? 2 : 0) | (options.details ? 4 : 0);
  native.decodeJsonLog(input, start, end, output, streams, flags, options.since ?? MIN, options.until ?? MAX, result);
  const [consumed = 0, produced = 0, records = 0, state = 0] = result;
  return { consumed, produced, records, pastUntil: (state & 1) !== 0, outputFull: (state & 2) !== 0 };
}

/** The time of one line (without its newline) in nanoseconds since 1970; undefined when it is no record. */
export function jsonLogLineTime(line: Uint8Array): bigint | undefined {
  const time = native.jsonLogLineTime(line);
  return time === MIN ? undefined : time;
}
