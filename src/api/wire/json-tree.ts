/**
 * JSON as Go's encoding/json reads it: duplicate keys are kept in order, numbers keep their digits, and errors have Go's
 * words. JSON.parse would lose all three.
 */

export type Json = null | boolean | string | JsonNumber | Json[] | JsonObject;
export class JsonNumber {
  readonly digits: string;
  constructor(digits: string) {
    this.digits = digits;
  }
}
export class JsonObject {
  readonly entries: [key: string, value: Json][] = [];
}

/** Deeper documents are refused. Nothing that an engine reads comes near it. */
const MAX_DEPTH = 1000;
/** Anything but a quote, a backslash and control characters. */
const STRING = /[ !#-[\]-\uffff]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const SPACE = /[ \t\r\n]*/y;
const ESCAPES: Record<string, string> = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

/** The one value in `text`. Throws an Error with Go's message for malformed, missing or further content. */
export function parseJson(text: string): Json {
  return new Parser(text).document();
}

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): Json {
    this.#skipSpace();
    if (this.#at === this.#text.length) throw new Error("EOF");
    const value = this.#value(0);
    this.#skipSpace();
    if (this.#at !== this.#text.length) throw new UnexpectedContent();
    return value;
  }

  #value(depth: number): Json {
    this.#skipSpace();
    switch (this.#text[this.#at]) {
      case "{":
        return this.#object(depth + 1);
      case "[":
        return this.#array(depth + 1);
      case '"':
        return this.#string();
      case "t":
        return this.#literal("true", true);
      case "f":
        return this.#literal("false", false);
      case "n":
        return this.#literal("null", null);
      default:
        return this.#number();
    }
  }

  #object(depth: number): JsonObject {
    this.#enter(depth);
    const object = new JsonObject();
    if (this.#takes("}")) return object;
    do {
      this.#skipSpace();
      if (this.#text[this.#at] !== '"') this.#fail("looking for beginning of object key string");
      const key = this.#string();
      if (!this.#takes(":")) this.#fail("after object key");
      object.entries.push([key, this.#value(depth)]);
    } while (this.#takes(","));
    if (!this.#takes("}")) this.#fail("after object key:value pair");
    return object;
  }

  #array(depth: number): Json[] {
    this.#enter(depth);
    const items: Json[] = [];
    if (this.#takes("]")) return items;
    do items.push(this.#value(depth));
    while (this.#takes(","));
    if (!this.#takes("]")) this.#fail("after array element");
    return items;
  }

  #enter(depth: number): void {
    if (depth > MAX_DEPTH) this.#fail("exceeded max depth");
    this.#at++;
  }

  #string(): string {
    this.#at++;
    let value = "";
    for (;;) {
      value += this.#match(STRING);
      const next = this.#text[this.#at];
      if (next === '"') {
        this.#at++;
        return value.toWellFormed();
      }
      if (next !== "\\") this.#fail("in string literal");
      this.#at++;
      value += this.#escape();
    }
  }

  #escape(): string {
    const escape = this.#text[this.#at] ?? "";
    const plain = ESCAPES[escape];
    if (plain !== undefined) {
      this.#at++;
      return plain;
    }
    if (escape !== "u") this.#fail("in string escape code");
    this.#at++;
    const from = this.#at;
    while (this.#at < from + 4) {
      if (!/[0-9a-fA-F]/.test(this.#text[this.#at] ?? "")) this.#fail("in \\u hexadecimal character escape");
      this.#at++;
    }
    return String.fromCharCode(Number.parseInt(this.#text.slice(from, this.#at), 16));
  }

  #literal<T>(word: string, value: T): T {
    for (let index = 0; index < word.length; index++, this.#at++) {
      if (this.#text[this.#at] !== word[index]) this.#fail(`in literal ${word} (expecting '${word[index]}')`);
    }
    return value;
  }

  #number(): JsonNumber {
    const digits = this.#match(NUMBER);
    if (digits === "") {
      if (this.#text[this.#at] !== "-") this.#fail("looking for beginning of value");
      this.#at++;
      this.#fail("in numeric literal");
    }
    const next = this.#text[this.#at];
    if (next === "." && !/[.eE]/.test(digits)) this.#failAfter(1, "after decimal point in numeric literal");
    if ((next === "e" || next === "E") && !/[eE]/.test(digits)) this.#failAfter(/[+-]/.test(this.#text[this.#at + 1] ?? "") ? 2 : 1, "in exponent of numeric literal");
    return new JsonNumber(digits);
  }

  #takes(char: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  #skipSpace(): void {
    this.#match(SPACE);
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? "";
    this.#at += found.length;
    return found;
  }

  #failAfter(count: number, context: string): never {
    this.#at += count;
    this.#fail(context);
  }

  #fail(context: string): never {
    const code = this.#text.codePointAt(this.#at);
    if (code === undefined) throw new Error("unexpected EOF");
    throw new Error(`invalid character ${quoteChar(String.fromCodePoint(code))} ${context}`);
  }
}

/** Something follows the document. */
export class UnexpectedContent extends Error {
  constructor() {
    super("unexpected content after JSON");
  }
}

function quoteChar(char: string): string {
  if (char === "'") return "'\\''";
  if (char === '"') return "'\"'";
  const quoted = JSON.stringify(char).slice(1, -1);
  return `'${quoted.replace(/^\\u00(..)$/, "\\x$1")}'`;
}
