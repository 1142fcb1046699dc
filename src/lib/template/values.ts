/**
 * How JavaScript values stand for Go's: strings, numbers (integers unless a Float), booleans, arrays (slices), Map and
 * plain objects (maps with string keys), TemplateObject (structs and types with methods), Nil (typed nil of a slice,
 * map or pointer), undefined and null (nil interfaces).
 */

export interface ObjectOptions {
  /** How it prints; without it, its fields in Go's order. */
  text?: () => string;
  /** Its JSON comes from a map: sorted keys, and <, > and & escaped. */
  row?: boolean;
}

/** A value of a named Go type: fields are values, methods are functions. */
export class TemplateObject {
  readonly typeName: string;
  readonly members: Record<string, unknown>;
  readonly text: (() => string) | undefined;
  readonly row: boolean;

  constructor(typeName: string, members: Record<string, unknown>, options: ObjectOptions = {}) {
    this.typeName = typeName;
    this.members = members;
    this.text = options.text;
    this.row = options.row ?? false;
  }

  toJSON(): unknown {
    const names = Object.keys(this.members).filter((name) => !(typeof this.members[name] === "function" && (this.members[name] as () => unknown).length > 0));
    return Object.fromEntries(names.map((name) => [name, this.member(name)]));
  }

  member(name: string): unknown {
    const member = this.members[name];
    return typeof member === "function" && member.length === 0 ? (member as () => unknown)() : member;
  }

  /** The member's own name, when a template may call it `name`. */
  resolve(name: string): string | undefined {
    return Object.hasOwn(this.members, name) ? name : undefined;
  }
}

/** Go's floating point numbers print differently from integers. */
export class Float {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
  toJSON(): number {
    return this.value;
  }
}

export class Nil {
  readonly kind: "slice" | "map" | "pointer";
  readonly typeName: string;
  constructor(kind: "slice" | "map" | "pointer", typeName: string) {
    this.kind = kind;
    this.typeName = typeName;
  }
  toJSON(): null {
    return null;
  }
}

export const isNumber = (value: unknown): value is number | bigint | Float => typeof value === "number" || typeof value === "bigint" || value instanceof Float;
export const isMap = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof TemplateObject) && !(value instanceof Float) && !(value instanceof Nil);

export const numeric = (value: number | bigint | Float): number | bigint => (value instanceof Float ? value.value : value);

const ELEMENT = Symbol("element");

/** A map whose missing elements are `element` for whoever indexes it, as in a Go map of that type. */
export const mapOf = (members: Record<string, unknown>, element: unknown): Record<string, unknown> => Object.defineProperty(members, ELEMENT, { value: element });

export const elementOf = (map: Record<string, unknown>): unknown => (map as { [ELEMENT]?: unknown })[ELEMENT];

/** A name for error texts. */
export function typeName(value: unknown): string {
  if (value instanceof TemplateObject || value instanceof Nil) return value.typeName;
  if (typeof value === "string") return "string";
  if (typeof value === "boolean") return "bool";
  if (value instanceof Float || (typeof value === "number" && !Number.isInteger(value))) return "float64";
  if (isNumber(value)) return "int";
  if (Array.isArray(value)) return value.every((item) => typeof item === "string") ? "[]string" : "[]interface {}";
  if (isMap(value)) return "map[string]interface {}";
  return "interface {}";
}

/** Go's truth: the zero value of a type is false. */
export function isTrue(value: unknown): boolean {
  if (value === undefined || value === null || value instanceof Nil) return false;
  if (value instanceof TemplateObject) return true;
  if (Array.isArray(value) || typeof value === "string") return value.length > 0;
  // oxlint-disable-next-line eqeqeq -- a bigint or a number
  if (isNumber(value)) return numeric(value) != 0;
  if (typeof value === "boolean") return value;
  return Object.keys(value).length > 0;
}

/** `%v`. */
export function format(value: unknown): string {
  if (value === undefined || value === null) return "<nil>";
  if (typeof value === "string") return value;
  if (value instanceof Nil) return value.kind === "slice" ? "[]" : value.kind === "map" ? "map[]" : "<nil>";
  if (value instanceof Float || typeof value === "number") return formatFloat(value);
  if (Array.isArray(value)) return `[${value.map(format).join(" ")}]`;
  if (value instanceof TemplateObject) return value.text ? value.text() : formatStruct(value);
  if (isMap(value)) {
    const keys = Object.keys(value).sort();
    return `map[${keys.map((key) => `${key}:${format(value[key])}`).join(" ")}]`;
  }
  return String(value);
}

function formatStruct(value: TemplateObject): string {
  const fields = Object.values(value.members).filter((member) => typeof member !== "function");
  return `{${fields.map(format).join(" ")}}`;
}

/** `%v` of a float64 is `%g` with the shortest digits: exponents below -4 and from 21 on. */
function formatFloat(value: number | Float): string {
  const number = typeof value === "number" ? value : value.value;
  if (Number.isInteger(number) && typeof value === "number") return Math.abs(number) < 1e21 ? BigInt(number).toString() : String(number);
  if (!Number.isFinite(number)) return Number.isNaN(number) ? "NaN" : number > 0 ? "+Inf" : "-Inf";
  const magnitude = Math.abs(number);
  if (number !== 0 && (magnitude < 1e-4 || magnitude >= 1e21)) return number.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
  return String(number);
}

/** JSON as Go's encoder writes it without HTML escaping: map keys sorted, TemplateObjects too. */
export function toJson(value: unknown): string {
  if (value === undefined || value === null || value instanceof Nil) return "null";
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Float) return JSON.stringify(value.value);
  if (value instanceof TemplateObject) {
    const plain = value.toJSON();
    if (typeof plain !== "object" || plain === null) return toJson(plain);
    const json = plain as Record<string, unknown>;
    return value.row ? escapeHtml(objectJson(json, Object.keys(json).sort())) : objectJson(json, Object.keys(json));
  }
  if (Array.isArray(value)) return `[${value.map(toJson).join(",")}]`;
  if (isMap(value)) return objectJson(value, Object.keys(value).sort());
  return JSON.stringify(value);
}

const escapeHtml = (json: string): string => json.replace(/[<>&]/g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`);

function objectJson(value: Record<string, unknown>, keys: string[]): string {
  return `{${keys.map((key) => `${JSON.stringify(key)}:${toJson(value[key])}`).join(",")}}`;
}
