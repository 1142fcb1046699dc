/** Points in time as the Engine API's query parameters give them: seconds since 1970 with up to nine decimals. */
import { invalidParameter } from "./errors.ts";

/** Nanoseconds of "1700000000" or "1700000000.25". Throws invalid-parameter with Docker's words, to be prefixed with the parameter's name. */
export function parseUnixTimestamp(text: string): bigint {
  const dot = text.indexOf(".");
  const seconds = dot === -1 ? text : text.slice(0, dot);
  const fraction = dot === -1 ? "" : text.slice(dot + 1);
  if (!/^[+-]?\d+$/.test(seconds)) throw invalidParameter(`invalid timestamp "${text}": invalid seconds "${seconds}": invalid syntax`);
  const whole = BigInt(seconds.replace(/^\+/, ""));
  if (whole > 9223372036854775807n || whole < -9223372036854775808n) throw invalidParameter(`invalid timestamp "${text}": invalid seconds "${seconds}": value out of range`);
  if (fraction.length > 20) throw invalidParameter(`invalid timestamp "${text}": invalid nanoseconds: length ${fraction.length} exceeds maximum 20`);
  const wrong = fraction.search(/[^0-9]/);
  if (wrong >= 0) throw invalidParameter(`invalid timestamp "${text}": invalid nanoseconds: invalid character '${fraction[wrong]}' at position ${wrong}`);
  return whole * 1_000_000_000n + BigInt(`${fraction}000000000`.slice(0, 9));
}
