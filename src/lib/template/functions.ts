/** The functions that a template may call: text/template's own and those that the docker command line adds. */
import { sprintf } from "./sprintf.ts";
import { elementOf, format, isMap, isNumber, isTrue, Nil, numeric, TemplateObject, toJson, typeName } from "./values.ts";

export type TemplateFunction = (...values: unknown[]) => unknown;

const text = (value: unknown, name: string): string => {
  if (typeof value === "string") return value;
  throw new Error(`error calling ${name}: wrong type for value; expected string; got ${typeName(value)}`);
};

const unary = (name: string, change: (value: string) => string): TemplateFunction => {
  return (...values) => {
    arity(name, values, 1);
    return change(text(values[0], name));
  };
};

export function arity(name: string, values: unknown[], count: number): void {
  if (values.length !== count) throw new Error(`wrong number of args for ${name}: want ${count} got ${values.length}`);
}

const counted =
  (name: string, count: number, call: TemplateFunction): TemplateFunction =>
  (...values) => {
    arity(name, values, count);
    return call(...values);
  };

/** Go's fmt.Sprint: a space between two operands when neither is a string. */
const sprint: TemplateFunction = (...values) =>
  values.map((value, index) => (index > 0 && typeof value !== "string" && typeof values[index - 1] !== "string" ? " " : "") + format(value)).join("");

export const FUNCTIONS: Record<string, TemplateFunction> = {
  json: counted("json", 1, (value) => toJson(value)),
  upper: unary("upper", (value) => value.toUpperCase()),
  lower: unary("lower", (value) => value.toLowerCase()),
  title: unary("title", (value) => value.replace(/(^|[^\p{L}\p{N}_'])(\p{L})/gu, (_, before: string, letter: string) => before + letter.toUpperCase())),
  split: counted("split", 2, (value, separator) => text(value, "split").split(text(separator, "split"))),
  join: counted("join", 2, (values, separator) => {
    if (values === undefined || values === null || values instanceof Nil) return "";
    if (!Array.isArray(values)) throw new Error(`error calling join: expected slice, got ${typeName(values)}`);
    return values.map(format).join(text(separator, "join"));
  }),
  pad: counted("pad", 3, (value, before, after) => {
    const source = text(value, "pad");
    return source === "" ? "" : " ".repeat(Number(before)) + source + " ".repeat(Number(after));
  }),
  truncate: counted("truncate", 2, (value, length) => {
    const source = Buffer.from(text(value, "truncate"));
    return source.length < Number(length) ? source.toString() : source.subarray(0, Number(length)).toString();
  }),
  print: sprint,
  println: (...values) => `${values.map(format).join(" ")}\n`,
  printf: (pattern, ...values) => sprintf(text(pattern, "printf"), values),
  len: (value) => {
    if (typeof value === "string") return Buffer.byteLength(value);
    if (Array.isArray(value)) return value.length;
    if (value instanceof Nil && value.kind !== "pointer") return 0;
    if (isMap(value)) return Object.keys(value).length;
    throw new Error(value === undefined || value === null ? "error calling len: len of nil pointer" : `error calling len: len of type ${typeName(value)}`);
  },
  index: (value, ...keys) => keys.reduce(indexOne, value),
  slice: (value, ...bounds) => {
    const list = typeof value === "string" ? Buffer.from(value) : value;
    if (!Array.isArray(list) && !Buffer.isBuffer(list)) throw new Error(`error calling slice: can't slice item of type ${typeName(value)}`);
    const [from = 0, to = list.length] = bounds.map(Number);
    const outside = bounds.find((bound) => Number(bound) < 0 || Number(bound) > list.length);
    if (outside !== undefined) throw new Error(`error calling slice: index out of range: ${format(outside)}`);
    if (from > to) throw new Error(`error calling slice: invalid slice index: ${from} > ${to}`);
    return Array.isArray(list) ? list.slice(from, to) : list.subarray(from, to).toString();
  },
  not: (value) => !isTrue(value),
  eq: (first, ...others) => {
    if (others.length === 0) throw new Error("error calling eq: missing argument for comparison");
    return others.some((other) => equal(first, other));
  },
  ne: (first, second) => !equal(first, second),
  lt: (first, second) => less("lt", first, second),
  le: (first, second) => less("le", first, second) || equal(first, second),
  gt: (first, second) => !(less("gt", first, second) || equal(first, second)),
  ge: (first, second) => !less("ge", first, second),
  html: (...values) => format(values.length === 1 ? values[0] : sprint(...values)).replace(/[&<>"'\0]/g, (char) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;" })[char] ?? "\ufffd"),
  js: (...values) => JSON.stringify(String(sprint(...values))).slice(1, -1).replace(/[<>&='\u007f]/g, (char) => (char === "'" ? "\\'" : `\\u${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`)),
  urlquery: (...values) => encodeURIComponent(String(sprint(...values))).replace(/%20/g, "+"),
  call: () => {
    throw new Error("error calling call: non-function");
  },
};

/** `and` and `or` are evaluated by the interpreter, which stops at the first argument that decides. */
export const FUNCTION_NAMES: ReadonlySet<string> = new Set([...Object.keys(FUNCTIONS), "and", "or"]);

function indexOne(value: unknown, key: unknown): unknown {
  if (value === undefined || value === null) throw new Error("error calling index: index of untyped nil");
  if (Array.isArray(value) || typeof value === "string") {
    if (!isNumber(key)) throw new Error(`error calling index: cannot index slice/array with type ${typeName(key)}`);
    const at = Number(numeric(key));
    const list = typeof value === "string" ? Buffer.from(value) : value;
    if (at < 0 || at >= list.length) throw new Error(`error calling index: ${typeof value === "string" ? "reflect: string index out of range" : `index out of range: ${at}`}`);
    return list[at];
  }
  if (value instanceof Nil && value.kind === "map") return value.typeName === "map[string]string" ? "" : undefined;
  if (value instanceof Nil && value.kind === "slice") throw new Error(`error calling index: index out of range: ${format(key)}`);
  if (isMap(value)) {
    if (typeof key !== "string") throw new Error(`error calling index: value has type ${typeName(key)}; should be string`);
    return Object.hasOwn(value, key) ? value[key] : elementOf(value);
  }
  throw new Error(`error calling index: can't index item of type ${typeName(value)}`);
}

function equal(first: unknown, second: unknown): boolean {
  // oxlint-disable-next-line eqeqeq -- bigints and numbers
  if (isNumber(first) && isNumber(second)) return numeric(first) == numeric(second);
  const nil = (value: unknown): boolean => value === undefined || value === null || value instanceof Nil;
  if (nil(first) || nil(second)) return nil(first) && nil(second);
  const [one, two] = [first, second].map((value) => (value instanceof TemplateObject && value.text ? value.text() : value));
  if (typeof one !== typeof two) throw new Error("error calling eq: incompatible types for comparison");
  if (typeof one === "object") throw new Error("error calling eq: non-comparable type");
  return one === two;
}

function less(name: string, first: unknown, second: unknown): boolean {
  // oxlint-disable-next-line eqeqeq -- bigints and numbers
  if (isNumber(first) && isNumber(second)) return numeric(first) < numeric(second);
  if (typeof first === "string" && typeof second === "string") return Buffer.compare(Buffer.from(first), Buffer.from(second)) < 0;
  throw new Error(`error calling ${name}: ${typeof first === typeof second ? "invalid type for comparison" : "incompatible types for comparison"}`);
}
