/** The `filters` parameter of lists, prunes and events: JSON of key to values, in its two historical forms. */
import { clientRegExp } from "./client-regexp.ts";
import { invalidParameter, messageOf } from "./errors.ts";
import { parseTimeOrDuration } from "./time-or-duration.ts";

/** {"key": {"value": true}} or, of older clients, {"key": ["value"]}. Throws "invalid filter". */
export function parseFilters(text: string | null | undefined): Filters {
  if (text === null || text === undefined || text === "") return new Filters(new Map());
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw invalidParameter("invalid filter", cause);
  }
  if (json === null) return new Filters(new Map());
  if (typeof json !== "object" || Array.isArray(json)) throw invalidParameter("invalid filter");
  const entries = Object.entries(json);
  const fields = entries.every(([, values]) => isSet(values)) ? entries.map(([key, values]) => [key, new Set(keptKeys(values))] as const) : entries.map(([key, values]) => [key, new Set(listed(values))] as const);
  return new Filters(new Map(fields));
}

const isSet = (value: unknown): value is Record<string, boolean | null> | null =>
  value === null || (typeof value === "object" && !Array.isArray(value) && Object.values(value).every((item) => item === null || typeof item === "boolean"));

const keptKeys = (values: Record<string, boolean | null> | null): string[] => (values === null ? [] : Object.keys(values).filter((key) => values[key] === true));

function listed(values: unknown): string[] {
  if (values === null) return [];
  if (!Array.isArray(values)) throw invalidParameter("invalid filter");
  return values.map((value) => {
    if (value !== null && typeof value !== "string") throw invalidParameter("invalid filter");
    return value ?? "";
  });
}

/** What a list is asked to keep. A key without values does not filter. */
export class Filters {
  readonly #fields: ReadonlyMap<string, ReadonlySet<string>>;

  constructor(fields: ReadonlyMap<string, ReadonlySet<string>>) {
    this.#fields = fields;
  }

  get isEmpty(): boolean {
    return this.#fields.size === 0;
  }

  has(key: string): boolean {
    return this.#fields.has(key);
  }

  values(key: string): string[] {
    return [...(this.#fields.get(key) ?? [])];
  }

  /** The one time that `until` names, in nanoseconds; undefined: none. Throws Docker's refusals. */
  until(): bigint | undefined {
    const [until, second] = this.values("until");
    if (second !== undefined) throw invalidParameter("more than one until filter specified");
    if (until === undefined) return undefined;
    try {
      return parseTimeOrDuration(until);
    } catch (error) {
      throw invalidParameter(messageOf(error), error);
    }
  }

  /** Throws Docker's refusal of a key that is not accepted. */
  validate(accepted: readonly string[]): void {
    for (const key of this.#fields.keys()) if (!accepted.includes(key)) throw invalidParameter(key === "" ? "invalid filter" : `invalid filter '${key}'`);
  }

  /** One of the values is the text. */
  exact(key: string, text: string): boolean {
    const values = this.#fields.get(key);
    return values === undefined || values.size === 0 || values.has(text);
  }

  /** One of the values is the text or its beginning. */
  prefix(key: string, text: string): boolean {
    return this.exact(key, text) || this.values(key).some((value) => text.startsWith(value));
  }

  /** One of the values is the text, or a pattern that is found in it. */
  matches(key: string, text: string): boolean {
    return this.exact(key, text) || this.values(key).some((value) => patternOf(value)?.test(text) ?? false);
  }

  /** Every value, as "name" or "name=value", is among the labels. */
  labels(key: string, labels: Readonly<Record<string, string>>): boolean {
    return this.values(key).every((wanted) => {
      const equals = wanted.indexOf("=");
      const name = equals < 0 ? wanted : wanted.slice(0, equals);
      return Object.hasOwn(labels, name) && (equals < 0 || labels[name] === wanted.slice(equals + 1));
    });
  }

  /** The switch that "1", "true", "0" or "false" says; undefined when the key is absent. Throws when it says neither or both. */
  boolean(key: string): boolean | undefined {
    const values = this.#fields.get(key);
    if (values === undefined) return undefined;
    if (values.size === 0) throw invalidParameter(`invalid filter '${key}'`);
    const yes = values.has("1") || values.has("true");
    const no = values.has("0") || values.has("false");
    if (yes === no) throw invalidParameter(`invalid filter '${key}=[${[...values].join(" ")}]'`);
    return yes;
  }
}

let compiled = new Map<string, RegExp | undefined>();

/** undefined for a malformed pattern: Docker ignores it. */
function patternOf(value: string): RegExp | undefined {
  if (!compiled.has(value)) {
    if (compiled.size > 100) compiled = new Map();
    compiled.set(value, compile(value));
  }
  return compiled.get(value);
}

function compile(value: string): RegExp | undefined {
  try {
    return clientRegExp(value);
  } catch {
    return undefined;
  }
}
