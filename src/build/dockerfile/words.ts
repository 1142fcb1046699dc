/** Words of instructions: splitting with quotes kept, and expansion, which removes them and puts values in. */
import { invalidParameter, messageOf } from "../../lib/errors.ts";

/** Splits at spaces outside quotes. Quotes and backslashes stay. */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let at = 0; at < text.length; at++) {
    const c = text.charAt(at);
    if (quote === "" && /\s/.test(c)) {
      if (word !== undefined) words.push(word);
      word = undefined;
      continue;
    }
    word = (word ?? "") + c;
    if (c === "\\" && quote !== "'" && at + 1 < text.length) word += text.charAt(++at);
    else if (quote === "" && (c === "'" || c === '"')) quote = c;
    else if (c === quote) quote = "";
  }
  if (word !== undefined) words.push(word);
  return words;
}

/** "name=value" pairs, or the old form "name value". */
export function readPairs(rest: string, instruction: string): [string, string][] {
  const words = splitWords(rest);
  const [first] = words;
  if (first === undefined) throw invalidParameter(`${instruction} requires at least one argument`);
  if (!first.includes("=")) {
    const [, name = "", value] = /^(\S+)(?:\s+([^]*))?$/.exec(rest) ?? [];
    if (value === undefined) throw invalidParameter(`${instruction} must have two arguments`);
    return [[name, value]];
  }
  return words.map((word) => {
    const equals = word.indexOf("=");
    if (equals < 0) throw invalidParameter(`Syntax error - can't find = in ${JSON.stringify(word)}. Must be of the form: name=value`);
    return [word.slice(0, equals), word.slice(equals + 1)];
  });
}

type Lookup = (name: string) => string | undefined;

/** Quotes and backslashes removed, $name and ${name:-word} and their like replaced. */
export function expand(text: string, lookup: Lookup): string {
  try {
    return new Expansion(text, lookup).run("");
  } catch (error) {
    throw invalidParameter(`failed to process ${JSON.stringify(text)}: ${messageOf(error)}`, error);
  }
}

class Expansion {
  #at = 0;
  readonly #text: string;
  readonly #lookup: Lookup;

  constructor(text: string, lookup: Lookup) {
    this.#text = text;
    this.#lookup = lookup;
  }

  /** Up to the end, or the character that ends a ${...} word. */
  run(end: string): string {
    let result = "";
    while (this.#at < this.#text.length) {
      const c = this.#text.charAt(this.#at);
      if (c === end) return result;
      this.#at++;
      if (c === "'") result += this.#until("'");
      else if (c === '"') result += this.#double();
      else if (c === "\\") result += this.#text.charAt(this.#at++);
      else if (c === "$") result += this.#dollar();
      else result += c;
    }
    if (end !== "") throw invalidParameter("syntax error: missing '}'");
    return result;
  }

  #until(quote: string): string {
    const end = this.#text.indexOf(quote, this.#at);
    if (end < 0) throw invalidParameter("unexpected end of statement while looking for matching single-quote");
    const inner = this.#text.slice(this.#at, end);
    this.#at = end + 1;
    return inner;
  }

  #double(): string {
    let result = "";
    while (this.#at < this.#text.length) {
      const c = this.#text.charAt(this.#at++);
      if (c === '"') return result;
      if (c === "$") result += this.#dollar();
      else if (c === "\\" && /["$\\]/.test(this.#text.charAt(this.#at))) result += this.#text.charAt(this.#at++);
      else result += c;
    }
    throw invalidParameter("unexpected end of statement while looking for matching double-quote");
  }

  #dollar(): string {
    if (this.#text.charAt(this.#at) !== "{") {
      const name = /^(?:[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?!$-])/.exec(this.#text.slice(this.#at, this.#at + 4096))?.[0];
      if (name === undefined) return "$";
      this.#at += name.length;
      return this.#lookup(name) ?? "";
    }
    const name = /^\{([A-Za-z_][A-Za-z0-9_]*)/.exec(this.#text.slice(this.#at, this.#at + 4096))?.[1];
    if (name === undefined) throw invalidParameter("syntax error: bad substitution");
    this.#at += name.length + 1;
    const operator = /^(?::[-+?]|[-+?])/.exec(this.#text.slice(this.#at, this.#at + 2))?.[0] ?? "";
    this.#at += operator.length;
    const word = this.run("}");
    this.#at++;
    if (operator === "" && word !== "") throw invalidParameter(`unsupported modifier (${word.charAt(0)}) in substitution`);
    return this.#substitute(name, operator, word);
  }

  #substitute(name: string, operator: string, word: string): string {
    const value = this.#lookup(name);
    const isSet = value !== undefined && (operator.startsWith(":") ? value !== "" : true);
    switch (operator.at(-1)) {
      case "-":
        return isSet ? value : word;
      case "+":
        return isSet ? word : "";
      case "?":
        if (isSet) return value;
        throw invalidParameter(`${name}: ${word === "" ? "not allowed to be unset" : word}`);
      default:
        return value ?? "";
    }
  }
}
