/** Shapes of parsed JSON: each takes a value and its place, gives the typed value, or throws with the place. null is absent,
 *  as in Go's decoder; members that a shape does not name are left out, as the specification demands of runtimes. */
import { invalidParameter } from "../../lib/errors.ts";

export type Shape<Value> = (value: unknown, where: string) => Value;

function mismatch(value: unknown, where: string, wanted: string): never {
  throw invalidParameter(`${where} must be ${wanted}, not ${shown(value)}`);
}

/** Lists and objects may be of any depth, so they are only named. */
function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 80));
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" && value !== null ? "an object" : String(value);
}

/** The kernel's strings end at a NUL. */
export const text: Shape<string> = (value, where) => {
  if (typeof value !== "string") return mismatch(value, where, "a string");
  return value.includes("\0") ? mismatch(value, where, "a string without NUL") : value;
};
export const flag: Shape<boolean> = (value, where) => (typeof value === "boolean" ? value : mismatch(value, where, "true or false"));

/** Numbers above 2^53 are rounded: where that matters the value means "no limit". */
function integer(minimum: number, maximum: number): Shape<number> {
  return (value, where) => {
    const number = typeof value === "bigint" ? Number(value) : value;
    if (typeof number !== "number" || !Number.isInteger(number)) return mismatch(value, where, "a whole number");
    return number >= minimum && number <= maximum ? number : mismatch(value, where, `from ${minimum} to ${maximum}`);
  };
}

export const uint16 = integer(0, 0xffff);
export const uint32 = integer(0, 0xffff_ffff);
export const int32 = integer(-0x8000_0000, 0x7fff_ffff);
export const uint64 = integer(0, 2 ** 64);
export const int64 = integer(-(2 ** 63), 2 ** 63);

/** Keeps a bigint, for values of which every bit counts. */
export const wide: Shape<number | bigint> = (value, where) => (typeof value === "bigint" ? value : uint64(value, where));

export function matching(pattern: RegExp): Shape<string> {
  return (value, where) => (pattern.test(text(value, where)) ? (value as string) : mismatch(value, where, `like ${pattern.source}`));
}

export function list<Item>(item: Shape<Item>): Shape<Item[]> {
  return (value, where) => (Array.isArray(value) ? value.map((one, index) => item(one, `${where}[${index}]`)) : mismatch(value, where, "a list"));
}

export function mapOf<Value>(shape: Shape<Value>): Shape<Record<string, Value>> {
  return (value, where) => {
    const entries = Object.entries(members(value, where)).map(([key, one]) => [text(key, `a name in ${where}`), shape(one, `${where}.${key}`)] as const);
    return Object.fromEntries(entries);
  };
}

interface Optional<Value> {
  optional: Shape<Value>;
}
export const optional = <Value>(shape: Shape<Value>): Optional<Value> => ({ optional: shape });

type Fields = Record<string, Shape<unknown> | Optional<unknown>>;
type Required<F extends Fields> = { [Key in keyof F as F[Key] extends Shape<unknown> ? Key : never]: F[Key] extends Shape<infer Value> ? Value : never };
type Optionals<F extends Fields> = { [Key in keyof F as F[Key] extends Optional<unknown> ? Key : never]?: F[Key] extends Optional<infer Value> ? Value : never };

export function object<F extends Fields>(fields: F): Shape<Required<F> & Optionals<F>> {
  const entries = Object.entries(fields);
  return (value, where) => {
    const given = members(value, where);
    const result: Record<string, unknown> = {};
    for (const [key, field] of entries) {
      const place = where === "" ? key : `${where}.${key}`;
      const one = Object.hasOwn(given, key) ? given[key] : undefined;
      if (one !== undefined && one !== null) result[key] = (typeof field === "function" ? field : field.optional)(one, place);
      else if (typeof field === "function") throw invalidParameter(`${place} is missing`);
    }
    return result as Required<F> & Optionals<F>;
  };
}

function members(value: unknown, where: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return mismatch(value, where === "" ? "the configuration" : where, "an object");
  return value as Record<string, unknown>;
}
