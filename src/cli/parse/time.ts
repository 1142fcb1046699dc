/** Points in time as --since and --until give them. */
import { quote } from "../../lib/strconv.ts";
import { parseDuration } from "../../lib/strconv.ts";

const FORM = /^(\d{4})-(\d{2})-(\d{2})(?:T(\d{2})(?::(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?)?)?(Z|[+-]\d{2}:\d{2})?$/;

/** Seconds since 1970 with nanoseconds, from a duration back from now, a date (local time unless it names a zone), or such seconds. */
export function parseTime(text: string, now = Date.now()): string {
  const duration = tryDuration(text);
  if (duration !== undefined) {
    const nanoseconds = BigInt(now) * 1_000_000n - BigInt(duration);
    return `${nanoseconds / 1_000_000_000n}.${(nanoseconds % 1_000_000_000n).toString().padStart(9, "0")}`;
  }
  if (/^-?\d+(\.\d+)?$/.test(text)) return text;
  const match = FORM.exec(text);
  if (!match) throw new Error(`failed to parse value as time or duration: ${quote(text)}`);
  const [, year, month, day, hour = "00", minute = "00", second = "00", fraction = "", zone = ""] = match;
  const date = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}${zone}`);
  if (Number.isNaN(date.getTime())) throw new Error(`failed to parse value as time or duration: ${quote(text)}`);
  return `${Math.trunc(date.getTime() / 1000)}.${fraction.padEnd(9, "0")}`;
}

function tryDuration(text: string): number | undefined {
  if (/^-?\d+(\.\d+)?$/.test(text)) return undefined;
  try {
    return parseDuration(text);
  } catch {
    return undefined;
  }
}
