/** Text and numbers by the rules of Go's strconv and time packages: Docker's clients see their error messages. */

const SYNTAX = "invalid syntax";
const RANGE = "value out of range";
const failure = (name: string, text: string, reason: string): Error => new Error(`strconv.${name}: parsing ${quote(text)}: ${reason}`);

const NAMED_ESCAPES: Record<string, string> = { "\x07": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"' };

/** Most texts; the classes of Unicode below take a millisecond to compile. */
const PLAIN = /^[ !#-[\]-~]*$/;

/** A string in double quotes, as Go's %q prints it. */
export function quote(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`;
  return `"${text.replace(/[\p{C}\p{Zl}\p{Zp}"\\]|(?! )\p{Zs}/gu, escaped)}"`;
}

function escaped(character: string): string {
  const named = NAMED_ESCAPES[character];
  if (named !== undefined) return named;
  const code = character.codePointAt(0) as number;
  if (code < 0x20 || code === 0x7f) return `\\x${code.toString(16).padStart(2, "0")}`;
  if (code >= 0xd800 && code < 0xe000) return "\\ufffd";
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
}

const TRUE = new Set(["1", "t", "T", "true", "TRUE", "True"]);
const FALSE = new Set(["0", "f", "F", "false", "FALSE", "False"]);

/** strconv.ParseBool. Throws an Error with Go's message. */
export function parseBool(text: string): boolean {
  if (TRUE.has(text)) return true;
  if (FALSE.has(text)) return false;
  throw failure("ParseBool", text, SYNTAX);
}

/** strconv.Atoi: decimal digits with an optional sign. Throws an Error with Go's message. */
export function atoi(text: string): number {
  return Number(signed("Atoi", text, 10, 64));
}

/** strconv.ParseInt; base 0 takes 0x, 0o, 0b and 0 prefixes and underscores between digits. */
export const parseInteger = (text: string, bits = 64, base: 0 | 10 = 10): bigint => signed("ParseInt", text, base, bits);

/** strconv.ParseUint. */
export const parseUnsigned = (text: string, bits = 64, base: 0 | 10 = 10): bigint => unsigned("ParseUint", text, text, { base, max: (1n << BigInt(bits)) - 1n });

function signed(name: string, text: string, base: 0 | 10, bits: number): bigint {
  const negative = text.startsWith("-");
  const digits = negative || text.startsWith("+") ? text.slice(1) : text;
  const half = 1n << BigInt(bits - 1);
  const size = unsigned(name, text, digits, { base, max: negative ? half : half - 1n });
  return negative ? -size : size;
}

const FORMS: Record<number, RegExp> = { 10: /^[0-9]+$/, 0: /^(?:0|[1-9](?:_?[0-9])*|0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0(?:_?[0-7])+)$/ };

function unsigned(name: string, text: string, digits: string, { base, max }: { base: 0 | 10; max: bigint }): bigint {
  if (!(FORMS[base] as RegExp).test(digits)) throw failure(name, text, SYNTAX);
  const plain = digits.replaceAll("_", "");
  const value = BigInt(base === 0 && /^0[0-7]/.test(plain) ? `0o${plain.slice(1)}` : plain);
  if (value > max) throw failure(name, text, RANGE);
  return value;
}

/** strconv.ParseFloat for decimal numbers, infinities and NaN. */
export function parseFloat64(text: string): number {
  if (/^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$/.test(text)) {
    const value = Number(text);
    if (!Number.isFinite(value)) throw failure("ParseFloat", text, RANGE);
    return value;
  }
  const special = /^([+-]?)(?:(inf(?:inity)?)|(nan))$/i.exec(text);
  if (special?.[2] !== undefined) return special[1] === "-" ? -Infinity : Infinity;
  if (special?.[3] !== undefined && special[1] === "") return NaN;
  throw failure("ParseFloat", text, SYNTAX);
}

const DURATION_UNITS: Record<string, number> = { ns: 1, us: 1e3, "µs": 1e3, "μs": 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };
const MAX_DURATION = 2 ** 63;

/** time.ParseDuration ("1h15m30.5s"), in nanoseconds (exact up to 2^53). Throws an Error with Go's message. */
export function parseDuration(text: string): number {
  const negative = text.startsWith("-");
  const body = negative || text.startsWith("+") ? text.slice(1) : text;
  if (body === "0") return 0;
  if (body === "") throw new Error(`time: invalid duration ${quote(text)}`);
  let total = 0;
  for (let rest = body; rest !== ""; ) {
    const part = /^([0-9]+\.?[0-9]*|\.[0-9]+)([^0-9.]*)/.exec(rest);
    if (part === null) throw new Error(`time: invalid duration ${quote(text)}`);
    const unit = part[2] as string;
    if (unit === "") throw new Error(`time: missing unit in duration ${quote(text)}`);
    const scale = Object.hasOwn(DURATION_UNITS, unit) ? DURATION_UNITS[unit] : undefined;
    if (scale === undefined) throw new Error(`time: unknown unit ${quote(unit)} in duration ${quote(text)}`);
    total += Math.trunc(Number(part[1]) * scale);
    if (total >= MAX_DURATION) throw new Error(`time: invalid duration ${quote(text)}`);
    rest = rest.slice(part[0].length);
  }
  return negative ? -total : total;
}

/** time.Duration's text: "1h2m0.5s", "150ms", "0s". */
export function formatDuration(nanoseconds: number): string {
  const size = Math.abs(nanoseconds);
  const sign = nanoseconds < 0 ? "-" : "";
  if (size === 0) return "0s";
  if (size < 1e3) return `${sign}${size}ns`;
  if (size < 1e6) return `${sign}${size / 1e3}µs`;
  if (size < 1e9) return `${sign}${size / 1e6}ms`;
  const hours = Math.floor(size / 3600e9);
  const minutes = Math.floor((size % 3600e9) / 60e9);
  return `${sign}${hours > 0 ? `${hours}h` : ""}${size >= 60e9 ? `${minutes}m` : ""}${(size % 60e9) / 1e9}s`;
}
