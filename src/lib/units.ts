/** Durations and sizes in the words that Docker uses for people (the rules of its go-units package). */
import { invalidParameter } from "./errors.ts";
import { parseFloat64 } from "./strconv.ts";

const SECOND = 1000;

/** An age or uptime in words; `milliseconds` may be negative (a clock that ran back). */
export function humanDuration(milliseconds: number): string {
  const seconds = Math.trunc(milliseconds / SECOND);
  if (seconds < 1) return "Less than a second";
  if (seconds === 1) return "1 second";
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes === 1) return "About a minute";
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.round(milliseconds / SECOND / 3600);
  if (hours === 1) return "About an hour";
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.trunc(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.trunc(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.trunc(hours / 24 / 30)} months`;
  return `${Math.trunc(milliseconds / SECOND / 3600 / 24 / 365)} years`;
}

const DECIMAL = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];

function scaled(size: number, base: number, units: string[]): { value: number; unit: string } {
  let value = size;
  let index = 0;
  while (value >= base && index < units.length - 1) {
    value /= base;
    index++;
  }
  return { value, unit: units[index] as string };
}

/** A size in powers of 1000 with so many significant digits: 1.23MB. */
export function humanSize(bytes: number, precision = 4): string {
  const { value, unit } = scaled(bytes, 1000, DECIMAL);
  return significant(value, precision) + unit;
}

/** A size in powers of 1024: 1.5GiB. */
export function bytesSize(bytes: number): string {
  const { value, unit } = scaled(bytes, 1024, BINARY);
  return significant(value, 4) + unit;
}

/** C's and Go's %.Ng: significant digits without trailing zeros. */
function significant(value: number, precision: number): string {
  if (value === 0) return "0";
  const exponent = Math.floor(Math.log10(Math.abs(Number(value.toPrecision(precision)))));
  if (exponent < -4 || exponent >= precision) {
    return value.toExponential(precision - 1).replace(/\.?0+e/, "e").replace(/e([+-])(\d)$/, "e$10$2");
  }
  return String(Number(value.toPrecision(precision)));
}

const POWERS: Record<string, number> = { k: 1, m: 2, g: 3, t: 4, p: 5 };

/** Parses "64m", "1.5 GiB": all units are powers of 1024. Throws invalid-parameter with Docker's words. */
export const parseRamSize = (text: string): number => parseSize(text, 1024);

/** Parses "64MB" as powers of 1000. Throws invalid-parameter with Docker's words. */
export const parseHumanSize = (text: string): number => parseSize(text, 1000);

function parseSize(text: string, base: number): number {
  const end = Math.max(...[..."0123456789. "].map((char) => text.lastIndexOf(char)));
  if (end < 0) throw invalidParameter(`invalid size: '${text}'`);
  const number = text.slice(0, text[end] === " " ? end : end + 1);
  const suffix = text.slice(end + 1);
  const size = parseFloat64(number);
  if (size < 0) throw invalidParameter(`invalid size: '${text}'`);
  if (suffix === "" || /^b$/i.test(suffix)) return Math.trunc(size);
  const match = /^([kmgtp])(i?b)?$/.exec(suffix.toLowerCase());
  if (!match) throw invalidParameter(`invalid suffix: '${suffix.length > 3 ? suffix : suffix.toLowerCase()}'`);
  return Math.trunc(size * base ** (POWERS[match[1] ?? ""] ?? 0));
}
