/**
 * The grammar of command-line flags that Docker's programs share (that of the pflag library), with its error messages.
 *
 *   --name=value  --name value  --switch  --switch=false      "--" ends the flags
 *   -n=value      -n value      -nvalue   -ab (two switches)  "-" alone is an argument
 *
 *   const specs = [{ name: "rm", type: bool }, { name: "env", shorthand: "e", type: list }] satisfies FlagSpec[];
 *   const { flags, args } = parseFlags(specs, ["-e", "A=b", "alpine", "--rm"]);
 *   flags.bool("rm"); flags.list("env"); flags.changed("rm")
 *
 * A value is checked where it stands, so the first mistake on the line is the one that is reported.
 */
import { invalidParameter, messageOf } from "./errors.ts";
import { parseBool, parseDuration, parseFloat64, parseInteger, parseUnsigned, quote } from "./strconv.ts";

export interface FlagSpec {
  name: string;
  /** One character. */
  shorthand?: string;
  type: FlagType;
  /** Before anything is said; by default the type's own. A list for repeated flags. */
  default?: string | string[];
  /** What the flag means without a value; then "--name value" does not take the value. Switches have "true". */
  bare?: string;
  /** What to say when it is used: "Flag --name has been deprecated, " comes before it. */
  deprecated?: string;
}

export interface FlagType {
  /** The word that help shows for the value; "" shows none. */
  word: string;
  /** Every use adds a value; otherwise the last one counts. */
  repeated?: boolean;
  /** Throws an Error whose message is the reason; `earlier` are the values of this flag before this one. */
  check?: (value: string, earlier: readonly string[]) => unknown;
  default?: string;
  bare?: string;
}

export const bool: FlagType = { word: "", check: parseBool, default: "false", bare: "true" };
export const string: FlagType = { word: "string", default: "" };
export const int: FlagType = { word: "int", check: (value) => parseInteger(value, 64, 0), default: "0" };
export const int64: FlagType = { ...int, word: "int" };
export const uint: FlagType = { word: "uint", check: (value) => parseUnsigned(value, 64, 0), default: "0" };
export const uint64: FlagType = { ...uint, word: "uint" };
export const uint32: FlagType = { word: "uint32", check: (value) => parseUnsigned(value, 32, 0), default: "0" };
export const uint16: FlagType = { word: "uint16", check: (value) => parseUnsigned(value, 16, 0), default: "0" };
export const float: FlagType = { word: "float", check: parseFloat64, default: "0" };
export const duration: FlagType = { word: "duration", check: parseDuration, default: "0s" };
export const list: FlagType = { word: "list", repeated: true };
/** key=value, many times. */
export const map: FlagType = { word: "map", repeated: true };

/** What a command line said. Asking for a flag that is not in the specs is a mistake of the program. */
export class FlagValues {
  readonly #specs: ReadonlyMap<string, FlagSpec>;
  readonly #said = new Map<string, string[]>();

  constructor(specs: ReadonlyMap<string, FlagSpec>) {
    this.#specs = specs;
  }

  set(name: string, value: string): void {
    const { type } = this.#spec(name);
    const earlier = this.#said.get(name);
    type.check?.(value, earlier ?? []);
    if (type.repeated === true && earlier !== undefined) earlier.push(value);
    else this.#said.set(name, [value]);
  }

  /** Given, with no value at all: a repeated flag that is to have none. */
  setEmpty(name: string): void {
    this.#spec(name);
    this.#said.set(name, []);
  }

  changed(name: string): boolean {
    this.#spec(name);
    return this.#said.has(name);
  }

  /** Names of the flags that were given, in the order of their first use. */
  said(): string[] {
    return [...this.#said.keys()];
  }

  /** All values of a repeated flag. */
  list(name: string): string[] {
    const given = this.#said.get(name);
    if (given !== undefined) return [...given];
    const initial = this.#spec(name).default ?? [];
    return typeof initial === "string" ? [initial] : [...initial];
  }

  /** The text of a single value, or its default. */
  string(name: string): string {
    const { type, default: initial } = this.#spec(name);
    return this.#said.get(name)?.at(-1) ?? (typeof initial === "string" ? initial : undefined) ?? type.default ?? "";
  }

  bool(name: string): boolean {
    return parseBool(this.string(name));
  }

  /** A whole number; beyond 2^53 it loses digits. */
  int(name: string): number {
    return Number(parseInteger(this.string(name), 65, 0));
  }

  float(name: string): number {
    return parseFloat64(this.string(name));
  }

  /** Nanoseconds. */
  duration(name: string): number {
    return parseDuration(this.string(name));
  }

  #spec(name: string): FlagSpec {
    const spec = this.#specs.get(name);
    if (spec === undefined) throw new TypeError(`flag accessed but not defined: ${name}`);
    return spec;
  }
}

export interface ParsedLine {
  flags: FlagValues;
  args: string[];
  /** How many arguments stood before "--"; undefined without one. */
  argsBeforeDash: number | undefined;
  /** Lines about deprecated flags, for stderr. */
  warnings: string[];
}

export interface GrammarOptions {
  /** Flags may follow arguments (the default). False: the first argument ends the flags, as `run IMAGE -x` needs it. */
  interspersed?: boolean;
}

/** Reads a command line. Throws "invalid-parameter" with pflag's message. */
export function parseFlags(specs: readonly FlagSpec[], line: readonly string[], options: GrammarOptions = {}): ParsedLine {
  const reader = new LineReader(specs, line);
  reader.read(options.interspersed ?? true);
  return reader;
}

class LineReader implements ParsedLine {
  readonly flags: FlagValues;
  readonly args: string[] = [];
  readonly warnings: string[] = [];
  argsBeforeDash: number | undefined;
  readonly #byName: Map<string, FlagSpec>;
  readonly #byShorthand: Map<string, FlagSpec>;
  readonly #rest: string[];

  constructor(specs: readonly FlagSpec[], line: readonly string[]) {
    this.#byName = new Map(specs.map((spec) => [spec.name, spec]));
    this.#byShorthand = new Map(specs.filter((spec) => spec.shorthand !== undefined).map((spec) => [spec.shorthand as string, spec]));
    this.#rest = [...line];
    this.flags = new FlagValues(this.#byName);
  }

  read(interspersed: boolean): void {
    for (let word = this.#rest.shift(); word !== undefined; word = this.#rest.shift()) {
      if (word === "--") {
        this.argsBeforeDash = this.args.length;
        this.args.push(...this.#rest.splice(0));
      } else if (word.startsWith("--")) this.#long(word);
      else if (word.startsWith("-") && word !== "-") this.#short(word.slice(1));
      else if (interspersed) this.args.push(word);
      else this.args.push(word, ...this.#rest.splice(0));
    }
  }

  #long(word: string): void {
    if (word[2] === "-" || word[2] === "=") throw invalidParameter(`bad flag syntax: ${word}`);
    const equals = word.indexOf("=");
    const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
    const spec = this.#byName.get(name);
    if (spec === undefined) throw invalidParameter(`unknown flag: --${name}`);
    if (equals >= 0) this.#set(spec, word.slice(equals + 1));
    else this.#set(spec, bareValue(spec) ?? this.#next(`flag needs an argument: --${name}`));
  }

  /** A series of shorthands; the first one that takes a value takes what is left. */
  #short(series: string): void {
    for (let letters = series; letters !== ""; ) {
      const [letter = ""] = letters;
      const after = letters.slice(letter.length);
      const spec = this.#byShorthand.get(letter);
      if (spec === undefined) throw invalidParameter(`unknown shorthand flag: ${quoteLetter(letter)} in -${letters}`);
      const bare = bareValue(spec);
      letters = "";
      if (after.length > 1 && after.startsWith("=")) this.#set(spec, after.slice(1));
      else if (bare !== undefined) {
        this.#set(spec, bare);
        letters = after;
      } else if (after !== "") this.#set(spec, after);
      else this.#set(spec, this.#next(`flag needs an argument: ${quoteLetter(letter)} in -${letter}`));
    }
  }

  #next(missing: string): string {
    const value = this.#rest.shift();
    if (value === undefined) throw invalidParameter(missing);
    return value;
  }

  #set(spec: FlagSpec, value: string): void {
    try {
      this.flags.set(spec.name, value);
    } catch (cause) {
      const flag = spec.shorthand === undefined ? `--${spec.name}` : `-${spec.shorthand}, --${spec.name}`;
      throw invalidParameter(`invalid argument ${quote(value)} for ${quote(flag)} flag: ${messageOf(cause)}`, cause);
    }
    if (spec.deprecated !== undefined) this.warnings.push(`Flag --${spec.name} has been deprecated, ${spec.deprecated}`);
  }
}

const bareValue = (spec: FlagSpec): string | undefined => spec.bare ?? spec.type.bare;
const quoteLetter = (letter: string): string => `'${letter === "'" ? "\\'" : letter === '"' ? '"' : quote(letter).slice(1, -1)}'`;
