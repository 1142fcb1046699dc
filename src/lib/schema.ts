/**
 * Descriptions of JSON documents as Docker's clients and daemon exchange them, and the TypeScript types that follow from
 * them. One description serves for reading (src/api/wire/decode.ts), zero values (zero) and printing (print): Docker
 * tells null, [], {} and an absent key apart, and so does a description.
 *
 *   const point = struct("Point", { X: field(int64), Name: field(text, { omitEmpty: true }) });
 *   type Point = Infer<typeof point>;          // { X: number; Name: string }
 *   zero(point)                                // { X: 0, Name: "" }
 *   print(point, { X: 1, Name: "" })           // {"X":1}
 */

/** `go` is the name of the corresponding Go type: clients see it in error messages. */
export type Node =
  | { kind: "string"; go: string }
  | { kind: "bool"; go: string }
  /** Held as a number: whole numbers beyond 2^53 keep their magnitude, not every digit. */
  | { kind: "int"; go: string; min: bigint; max: bigint }
  /** A string with a form of its own; parse gives the normal form or throws an Error with the message for the client. */
  | { kind: "text"; go: string; parse: (input: string) => string }
  | { kind: "list"; go: string; item: Schema }
  /** A fixed number of items: missing ones are zero, further ones are dropped. */
  | { kind: "tuple"; go: string; item: Schema; length: number }
  | { kind: "map"; go: string; value: Schema; parseKey: ((key: string) => string) | undefined }
  | { kind: "struct"; go: string; fields: Fields }
  /** A value or null. */
  | { kind: "nullable"; go: string; target: Schema };

export type Schema<T = unknown> = Node & { readonly $type?: T };
export type Infer<S> = S extends { readonly $type?: infer T } ? T : never;

export interface Field<T = unknown> {
  schema: Schema<T>;
  /** Not printed when it has its zero value, or is an empty list or map. */
  omitEmpty: boolean;
  /** The embedded Go struct that it comes from; part of the path in error messages. */
  embedded: string | undefined;
  /** What the engine makes of it, for docs/compatibility.md. */
  support: Support | undefined;
}
export interface Support {
  status: "done" | "refused" | "partly" | "no meaning";
  note: string;
}
export type Fields = Record<string, Field>;
type FieldsOf<F> = { -readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never };

export const string: Schema<string> = { kind: "string", go: "string" };
export const bool: Schema<boolean> = { kind: "bool", go: "bool" };
const int = (go: string, min: bigint, max: bigint): Schema<number> => ({ kind: "int", go, min, max });
export const int64 = int("int64", -(2n ** 63n), 2n ** 63n - 1n);
export const goInt = int("int", -(2n ** 63n), 2n ** 63n - 1n);
export const uint64 = int("uint64", 0n, 2n ** 64n - 1n);
export const goUint = int("uint", 0n, 2n ** 64n - 1n);
export const uint32 = int("uint32", 0n, 2n ** 32n - 1n);
export const uint16 = int("uint16", 0n, 2n ** 16n - 1n);
/** A string or number of a named Go type. */
export const named = <T>(go: string, schema: Schema<T>): Schema<T> => ({ ...schema, go });
export const text = (go: string, parse: (input: string) => string): Schema<string> => ({ kind: "text", go, parse });
export const list = <T>(item: Schema<T>): Schema<T[] | null> => ({ kind: "list", go: `[]${item.go}`, item });
export const tuple = <T>(item: Schema<T>, length: number): Schema<T[]> => ({ kind: "tuple", go: `[${length}]${item.go}`, item, length });
/** With keys of a type of their own: parse gives their normal form. */
export const map = <T>(value: Schema<T>, key?: { go: string; parse: (key: string) => string }): Schema<Record<string, T> | null> => ({ kind: "map", go: `map[${key?.go ?? "string"}]${value.go}`, value, parseKey: key?.parse });
export const nullable = <T>(target: Schema<T>): Schema<T | null> => ({ kind: "nullable", go: `*${target.go}`, target });
export const struct = <F extends Fields>(go: string, fields: F): Schema<FieldsOf<F>> => ({ kind: "struct", go, fields });

export function field<T>(schema: Schema<T>, options: { omitEmpty?: boolean; embedded?: string; support?: Support } = {}): Field<T> {
  return { schema, omitEmpty: options.omitEmpty ?? false, embedded: options.embedded, support: options.support };
}

/** All fields of a struct, which a caller may add to those of another (Go's embedding). */
export function fieldsOf<T>(schema: Schema<T>): { [K in keyof T]: Field<T[K]> } {
  if (schema.kind !== "struct") throw new TypeError(`${schema.go} is not a struct`);
  return schema.fields as { [K in keyof T]: Field<T[K]> };
}

/** The same fields as those that come from an embedded Go struct of this name. */
export function embed<F extends Fields>(name: string, fields: F): F {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, { ...value, embedded: name }])) as F;
}

/** A new value that Go would start from. */
export function zero<T>(schema: Schema<T>): T {
  return zeroOf(schema) as T;
}

function zeroOf(schema: Schema): unknown {
  switch (schema.kind) {
    case "string":
    case "text":
      return "";
    case "bool":
      return false;
    case "int":
      return 0;
    case "tuple":
      return Array.from({ length: schema.length }, () => zeroOf(schema.item));
    case "struct": {
      const value: Record<string, unknown> = {};
      for (const key in schema.fields) value[key] = zeroOf(schema.fields[key]!.schema);
      return value;
    }
    case "list":
    case "map":
    case "nullable":
      return null;
  }
}

/** Sets a key that came from outside: "__proto__" becomes an ordinary key. */
export function setKey<T>(target: Record<string, T>, key: string, value: T): void {
  if (key === "__proto__") Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
  else target[key] = value;
}

/** JSON text of a value, with the keys of maps sorted, as Go's encoder gives it. */
export function print<T>(schema: Schema<T>, value: T): string {
  return printed(schema, value);
}

function printed(schema: Schema, value: unknown): string {
  switch (schema.kind) {
    case "string":
    case "text":
      return JSON.stringify(value);
    case "bool":
      return value === true ? "true" : "false";
    case "int":
      return printInt(schema, value as number);
    case "list":
    case "tuple":
      return value === null ? "null" : `[${(value as unknown[]).map((item) => printed(schema.item, item)).join(",")}]`;
    case "map":
      return value === null ? "null" : printMap(schema.value, value as Record<string, unknown>);
    case "nullable":
      return value === null ? "null" : printed(schema.target, value);
    case "struct":
      return printStruct(schema.fields, value as Record<string, unknown>);
  }
}

function printInt(schema: { min: bigint; max: bigint }, value: number): string {
  if (Number.isSafeInteger(value)) return String(value);
  const whole = BigInt(value);
  return String(whole > schema.max ? schema.max : whole < schema.min ? schema.min : whole);
}

function printMap(schema: Schema, value: Record<string, unknown>): string {
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${printed(schema, value[key])}`).join(",")}}`;
}

function printStruct(fields: Fields, value: Record<string, unknown>): string {
  let result = "";
  for (const key in fields) {
    const { schema, omitEmpty } = fields[key]!;
    const item = value[key];
    if (omitEmpty && isEmpty(schema, item)) continue;
    result += `${result === "" ? "" : ","}"${key}":${printed(schema, item)}`;
  }
  return `{${result}}`;
}

function isEmpty(schema: Schema, value: unknown): boolean {
  switch (schema.kind) {
    case "list":
      return value === null || (value as unknown[]).length === 0;
    case "map":
      return value === null || Object.keys(value as object).length === 0;
    case "nullable":
      return value === null;
    case "struct":
    case "tuple":
      return false;
    default:
      return value === "" || value === 0 || value === false;
  }
}
