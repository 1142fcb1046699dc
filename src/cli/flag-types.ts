/** The types of the docker command line's flags, by the word that its help shows. */
import * as basic from "../lib/flags.ts";
import type { FlagSpec, FlagType } from "../lib/flags.ts";
import { parseIp, parsePrefix } from "../lib/ip.ts";
import { parseRamSize } from "../lib/units.ts";
import { parseCsv } from "./parse/csv.ts";
import type { FlagEntry } from "./tree/types.ts";

export type FlagCheck = NonNullable<FlagType["check"]>;

const repeated = (word: string, check?: FlagCheck): FlagType => ({ word, repeated: true, ...(check ? { check } : {}) });

const bytes: FlagType = { word: "bytes", check: (value) => parseRamSize(value), default: "0" };

const ip: FlagType = {
  word: "ip",
  default: "",
  check: (value) => {
    if (parseIp(value.trim()) === undefined) throw new Error(`failed to parse IP: ${JSON.stringify(value)}`);
  },
};

const filter = repeated("filter", (value) => {
  if (value !== "" && !value.includes("=")) throw new Error("bad format of filter (expected name=value)");
});

const TYPES: Record<string, FlagType> = {
  bool: basic.bool,
  string: basic.string,
  int: basic.int,
  int64: basic.int64,
  uint: basic.uint,
  uint16: basic.uint16,
  uint32: basic.uint32,
  uint64: basic.uint64,
  float: basic.float,
  duration: basic.duration,
  list: basic.list,
  map: basic.map,
  bytes,
  ip,
  filter,
  stringSlice: repeated("strings", (value) => parseCsv(value)),
  ipSlice: repeated("ipSlice", (value) => {
    for (const text of parseCsv(value)) if (parseIp(text.trim()) === undefined) throw new Error(`invalid string being converted to IP address: ${text}`);
  }),
  ipNetSlice: repeated("ipNetSlice", (value) => {
    for (const text of parseCsv(value)) if (parsePrefix(text.trim()) === undefined) throw new Error(`invalid string being converted to CIDR: ${text}`);
  }),
  stringToString: repeated("stringToString", (value) => {
    for (const pair of parseCsv(value)) if (!pair.includes("=")) throw new Error(`${pair} must be formatted as key=value`);
  }),
  decimal: {
    word: "decimal",
    default: "",
    check: (value) => {
      if (!/^[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|\d+\/\d+)$/.test(value)) throw new Error(`failed to parse ${value} as a rational number`);
    },
  },
};

/** What Docker's client says of them. */
const DEPRECATED: Record<string, string> = {
  "disable-content-trust": "support for docker content trust was removed",
  "kernel-memory": "and no longer supported by the kernel",
  pause: "and enabled by default. Use --no-pause to disable pausing during commit.",
  time: "use --timeout instead",
};

/** Types that only say how help shows them; the last value counts unless the word is known to repeat. */
const REPEATED_WORDS = new Set(["mount", "network", "ulimit", "gpu-request", "config", "secret", "port", "pref", "external-ca"]);

/** Specs for the parser. `checks` are a command's own rules by flag name, on top of the type's. */
export function flagSpecs(entries: FlagEntry[], checks: Record<string, FlagCheck> = {}): FlagSpec[] {
  return entries.map((entry) => {
    const type = TYPES[entry.type] ?? { word: entry.type, repeated: REPEATED_WORDS.has(entry.type), default: "" };
    const check = checks[entry.name];
    return {
      name: entry.name,
      ...(entry.shorthand === undefined ? {} : { shorthand: entry.shorthand }),
      type: check ? { ...type, check } : type,
      ...(entry.fallback === undefined ? {} : { default: entry.fallback }),
      ...(entry.bare === undefined ? {} : { bare: entry.bare }),
      ...(entry.deprecated ? { deprecated: DEPRECATED[entry.name] ?? "and has no effect" } : {}),
    };
  });
}

/** What --filter flags say, as the API takes it. */
export function filterQuery(values: string[]): Record<string, Record<string, true>> {
  const filters: Record<string, Record<string, true>> = {};
  for (const value of values) {
    if (value === "") continue;
    const equals = value.indexOf("=");
    const name = value.slice(0, equals).trim().toLowerCase();
    (filters[name] ??= {})[value.slice(equals + 1).trim()] = true;
  }
  return filters;
}

/** The filters parameter, or none. */
export function encodeFilters(filters: Record<string, Record<string, true>>): string | undefined {
  return Object.keys(filters).length === 0 ? undefined : JSON.stringify(filters);
}
