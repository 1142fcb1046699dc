/** A point in time as filters give it: a duration before now, an RFC 3339 date with parts left out, or seconds since 1970. */
import { nowNanoseconds } from "./clock.ts";
import { parseDuration } from "./strconv.ts";

/** Nanoseconds since 1970. Throws an Error with Docker's words. */
export function parseTimeOrDuration(text: string, now: bigint = nowNanoseconds()): bigint {
  if (text.trim() === "") throw new Error("failed to parse value as time or duration: value is empty");
  if (text !== "0") {
    const duration = attempt(() => parseDuration(text));
    if (duration !== undefined) return now - BigInt(Math.trunc(duration));
  }
  const date = /^(\d{4}-\d\d-\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?)?(Z|[+-]\d\d:\d\d)?$/i.exec(text);
  if (date) return dateOf(text, date);
  if (text.includes("-") && !/^-?\d+(\.\d*)?$/.test(text)) throw new Error(`parsing time ${JSON.stringify(text)} as "2006-01-02": cannot parse ${JSON.stringify(text)} as "2006"`);
  return unixSeconds(text);
}

function dateOf(text: string, [, day, hour = "00", minute = "00", second = "00", fraction = "", zone]: RegExpExecArray): bigint {
  /* Without a zone: this machine's. */
  const milliseconds = Date.parse(`${day}T${hour}:${minute}:${second}${zone?.toUpperCase() ?? ""}`);
  if (Number.isNaN(milliseconds)) throw new Error(`parsing time ${JSON.stringify(text)}: day or time out of range`);
  return BigInt(milliseconds) * 1_000_000n + BigInt(`${fraction}000000000`.slice(0, 9));
}

function unixSeconds(text: string): bigint {
  const [seconds = "", fraction = ""] = text.split(".", 2);
  const refuse = (why: string): Error => new Error(`failed to parse value as time or duration: ${why}`);
  if (!/^[+-]?\d+$/.test(seconds)) throw refuse(`invalid seconds ${JSON.stringify(seconds)}: invalid syntax`);
  if (fraction !== "" && !/^\d{1,20}$/.test(fraction)) throw refuse(`invalid nanoseconds ${JSON.stringify(fraction)}: invalid syntax`);
  const whole = BigInt(seconds.replace(/^\+/, ""));
  if (whole > 9223372036854775807n || whole < -9223372036854775808n) throw refuse(`invalid seconds ${JSON.stringify(seconds)}: value out of range`);
  return whole * 1_000_000_000n + BigInt(`${fraction}000000000`.slice(0, 9));
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
