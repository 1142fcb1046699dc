/**
 * Reads request bodies by their descriptions (src/lib/schema.ts) with the semantics of Go's encoding/json: keys match
 * without regard to case, unknown keys are ignored, null leaves a plain value as it is, a second object for the same key
 * is merged into the first, and the first value of a wrong type is reported after the rest was read.
 */
import { invalidParameter } from "../../lib/errors.ts";
import { setKey, zero } from "../../lib/schema.ts";
import type { Fields, Infer, Schema } from "../../lib/schema.ts";
import { JsonNumber, JsonObject, parseJson, UnexpectedContent } from "./json-tree.ts";
import type { Json } from "./json-tree.ts";

/** Parses a body. Throws invalid-parameter with Docker's message. */
export function parseBody(text: string): Json {
  try {
    return parseJson(text);
  } catch (error) {
    throw invalidParameter(error instanceof UnexpectedContent ? error.message : `invalid JSON: ${(error as Error).message}`);
  }
}

/** Decodes a parsed body. Throws invalid-parameter with Docker's message. */
export function decode<S extends Schema>(schema: S, json: Json): Infer<S> {
  const decoder = new Decoder();
  let value: unknown;
  try {
    value = decoder.value(schema, json, zero(schema));
  } catch (error) {
    throw invalidParameter(`invalid JSON: ${(error as Error).message}`);
  }
  if (decoder.mismatch !== undefined) throw invalidParameter(`invalid JSON: ${decoder.mismatch}`);
  return value as Infer<S>;
}

/** For fields that older API versions had beside the described ones: what cannot be read is as if it was not there. */
export function decodeLenient<S extends Schema>(schema: S, json: Json): Infer<S> {
  try {
    return new Decoder().value(schema, json, zero(schema)) as Infer<S>;
  } catch {
    return zero(schema) as Infer<S>;
  }
}

class Decoder {
  /** The first value of a wrong type. */
  mismatch: string | undefined;
  #struct = "";
  #path: string[] = [];

  /** `current` is what the key had so far. */
  value(schema: Schema, json: Json, current: unknown): unknown {
    switch (schema.kind) {
      case "string":
        return json === null ? current : typeof json === "string" ? json : this.#wrong(schema, json, current);
      case "bool":
        return json === null ? current : typeof json === "boolean" ? json : this.#wrong(schema, json, current);
      case "int":
        return json === null ? current : this.#int(schema, json, current);
      case "text":
        return json === null ? current : typeof json === "string" ? schema.parse(json) : this.#wrong(schema, json, current);
      case "nullable":
        return json === null ? null : this.value(schema.target, json, current ?? zero(schema.target));
      case "list":
        return json === null ? null : Array.isArray(json) ? json.map((item) => this.value(schema.item, item, zero(schema.item))) : this.#wrong(schema, json, current);
      case "tuple":
        return json === null ? current : Array.isArray(json) ? this.#tuple(schema, json) : this.#wrong(schema, json, current);
      case "map":
        return json === null ? null : json instanceof JsonObject ? this.#map(schema, json, current) : this.#wrong(schema, json, current);
      case "struct":
        return json === null ? current : json instanceof JsonObject ? this.#fields(schema, json, current) : this.#wrong(schema, json, current);
    }
  }

  #int(schema: Schema & { kind: "int" }, json: Json, current: unknown): unknown {
    if (!(json instanceof JsonNumber)) return this.#wrong(schema, json, current);
    if (!/^-?[0-9]+$/.test(json.digits)) return this.#wrong(schema, json, current, `number ${json.digits}`);
    const number = Number(json.digits);
    if (Number.isSafeInteger(number) && BigInt(number) >= schema.min && BigInt(number) <= schema.max) return number === 0 ? 0 : number;
    const whole = json.digits.length > 40 ? undefined : BigInt(json.digits);
    if (whole === undefined || whole < schema.min || whole > schema.max) return this.#wrong(schema, json, current, `number ${json.digits}`);
    return number;
  }

  #tuple(schema: Schema & { kind: "tuple" }, items: Json[]): unknown[] {
    return Array.from({ length: schema.length }, (_, index) => {
      const start = zero(schema.item);
      return index < items.length ? this.value(schema.item, items[index] ?? null, start) : start;
    });
  }

  #map(schema: Schema & { kind: "map" }, json: JsonObject, current: unknown): unknown {
    const result = { ...(current as Record<string, unknown> | null) };
    for (const [key, item] of json.entries) {
      const value = this.value(schema.value, item, zero(schema.value));
      setKey(result, schema.parseKey ? schema.parseKey(key) : key, value);
    }
    return result;
  }

  #fields(schema: Schema & { kind: "struct" }, json: JsonObject, current: unknown): unknown {
    const result = current as Record<string, unknown>;
    const names = namesOf(schema.fields);
    const outer = { struct: this.#struct, path: this.#path };
    for (const [key, item] of json.entries) {
      const name = Object.hasOwn(schema.fields, key) ? key : names.get(key.toLowerCase());
      const field = name === undefined ? undefined : schema.fields[name];
      if (name === undefined || field === undefined) continue;
      this.#struct = schema.go.slice(schema.go.lastIndexOf(".") + 1);
      this.#path = [...outer.path, ...(field.embedded === undefined ? [] : [field.embedded]), name];
      result[name] = this.value(field.schema, item, result[name]);
    }
    this.#struct = outer.struct;
    this.#path = outer.path;
    return result;
  }

  #wrong(schema: Schema, json: Json, current: unknown, what = kindOf(json)): unknown {
    const where = this.#struct === "" ? `Go value of type ${schema.go}` : `Go struct field ${this.#struct}.${this.#path.join(".")} of type ${schema.go}`;
    this.mismatch ??= `json: cannot unmarshal ${what} into ${where}`;
    return current;
  }
}

/** As Go's decoder calls it. */
export function kindOf(json: Json): string {
  if (json instanceof JsonNumber) return "number";
  if (typeof json === "boolean") return "bool";
  return typeof json === "string" ? "string" : Array.isArray(json) ? "array" : "object";
}

const lowerCaseNames = new WeakMap<Fields, Map<string, string>>();

function namesOf(fields: Fields): Map<string, string> {
  let names = lowerCaseNames.get(fields);
  if (!names) {
    names = new Map(Object.keys(fields).map((name) => [name.toLowerCase(), name]));
    lowerCaseNames.set(fields, names);
  }
  return names;
}
