/**
 * The scanner of Go's text/template: splits a template into text and, inside actions, into tokens. Positions are
 * offsets into the source; error texts are those of Go, because scripts and people know them.
 */
export type TokenKind = "text" | "open" | "close" | "field" | "variable" | "identifier" | "keyword" | "string" | "char" | "number" | "bool" | "nil" | "dot" | "pipe" | "assign" | "declare" | "comma" | "(" | ")" | "space" | "eof";

export interface Token {
  kind: TokenKind;
  text: string;
  position: number;
}

export class TemplateSyntaxError extends Error {}

const KEYWORDS = new Set(["if", "else", "end", "range", "with", "define", "template", "block", "break", "continue"]);
const LEFT = "{{";
const RIGHT = "}}";
const SPACE = " \t\r\n";

/** Letters, digits and the underscore. Beyond ASCII the classes of Unicode decide, which take long to compile. */
const isWord = (char: string): boolean => (char < "\x80" ? /\w/.test(char) : /[\p{L}\p{N}]/u.test(char));

/** Where the word that begins at `start` ends. */
function wordEnd(source: string, start: number): number {
  let end = start;
  for (let char = source[end]; char !== undefined && isWord(char); char = source[end]) end++;
  return end;
}

const describe = (char: string): string => `U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")} '${char}'`;

export class Scanner {
  readonly #source: string;
  readonly #name: string;
  readonly #tokens: Token[] = [];
  #at = 0;

  constructor(source: string, name: string) {
    this.#source = source;
    this.#name = name;
  }

  fail(position: number, message: string): never {
    const line = this.#source.slice(0, position).split("\n").length;
    throw new TemplateSyntaxError(`template: ${this.#name}:${line}: ${message}`);
  }

  scan(): Token[] {
    let trimNext = false;
    while (this.#at < this.#source.length) {
      const open = this.#source.indexOf(LEFT, this.#at);
      const end = open < 0 ? this.#source.length : open;
      let text = this.#source.slice(this.#at, end);
      if (trimNext) text = text.replace(/^[ \t\r\n]+/, "");
      trimNext = false;
      const trimLeft = open >= 0 && this.#source[open + 2] === "-" && SPACE.includes(this.#source[open + 3] ?? "x");
      if (trimLeft) text = text.replace(/[ \t\r\n]+$/, "");
      if (text !== "") this.#push("text", text, this.#at);
      if (open < 0) break;
      this.#at = open + 2 + (trimLeft ? 2 : 0);
      trimNext = this.#action(open);
    }
    this.#push("eof", "", this.#source.length);
    return this.#tokens;
  }

  #push(kind: TokenKind, text: string, position: number): void {
    this.#tokens.push({ kind, text, position });
  }

  /** Scans one action; answers whether it ends with a trim marker. */
  #action(open: number): boolean {
    if (this.#source.startsWith("/*", this.#at)) return this.#comment();
    this.#push("open", LEFT, open);
    let parentheses = 0;
    for (;;) {
      const char = this.#source[this.#at];
      const trim = char !== undefined && SPACE.includes(char) && this.#source.startsWith(`-${RIGHT}`, this.#at + 1);
      if (trim || this.#source.startsWith(RIGHT, this.#at)) {
        if (parentheses > 0) this.fail(this.#at, "unclosed left paren");
        this.#push("close", RIGHT, this.#at);
        this.#at += trim ? 4 : 2;
        return trim;
      }
      if (char === undefined) this.fail(open, "unclosed action");
      if (char === "(") parentheses++;
      if (char === ")" && --parentheses < 0) this.fail(this.#at, "unexpected right paren");
      this.#token(char);
    }
  }

  #comment(): boolean {
    const end = this.#source.indexOf("*/", this.#at);
    if (end < 0) this.fail(this.#at, "unclosed comment");
    this.#at = end + 2;
    const trim = /^[ \t\r\n]-\}\}/.test(this.#source.slice(this.#at, this.#at + 4));
    if (trim) this.#at += 2;
    if (!this.#source.startsWith(RIGHT, this.#at)) this.fail(this.#at, "comment ends before closing delimiter");
    this.#at += 2;
    return trim;
  }

  #token(char: string): void {
    const start = this.#at;
    const rest = this.#source.slice(start);
    const take = (kind: TokenKind, length: number): void => {
      this.#push(kind, rest.slice(0, length), start);
      this.#at = start + length;
    };
    if (SPACE.includes(char)) return take("space", /^[ \t\r\n]*?(?=[ \t\r\n]-\}\}|[^ \t\r\n]|$)/.exec(rest)?.[0].length || 1);
    if (char === "(" || char === ")") return take(char, 1);
    if (char === ",") return take("comma", 1);
    if (char === "|") return take("pipe", 1);
    if (char === "=") return take("assign", 1);
    if (char === ":") {
      if (rest[1] !== "=") this.fail(start, "expected :=");
      return take("declare", 2);
    }
    if (char === '"' || char === "`" || char === "'") return this.#quoted(char, take);
    if (char === "$") return take("variable", wordEnd(rest, 1));
    if (char === "." && !/[0-9]/.test(rest[1] ?? "")) return this.#field(rest, take);
    if (/[0-9.+-]/.test(char)) return this.#number(rest, take);
    if (isWord(char)) return this.#word(rest, take);
    this.fail(start, `unrecognized character in action: ${describe(char)}`);
  }

  #field(rest: string, take: (kind: TokenKind, length: number) => void): void {
    const name = rest.slice(0, wordEnd(rest, 1));
    this.#endOfWord(rest[name.length], this.#at + name.length);
    take(name === "." ? "dot" : "field", name.length);
  }

  #word(rest: string, take: (kind: TokenKind, length: number) => void): void {
    const word = rest.slice(0, wordEnd(rest, 0));
    this.#endOfWord(rest[word.length], this.#at + word.length);
    if (KEYWORDS.has(word)) return take("keyword", word.length);
    if (word === "true" || word === "false") return take("bool", word.length);
    take(word === "nil" ? "nil" : "identifier", word.length);
  }

  #endOfWord(next: string | undefined, position: number): void {
    if (next === undefined || `${SPACE}.,|:()=`.includes(next) || this.#source.startsWith(RIGHT, position)) return;
    this.fail(position, `bad character ${describe(next)}`);
  }

  #number(rest: string, take: (kind: TokenKind, length: number) => void): void {
    const number = /^[+-]?(0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9_]*\.?[0-9_]*([eE][+-]?[0-9_]+)?)/.exec(rest)?.[0] ?? "";
    const next = rest[number.length];
    if (!/[0-9]/.test(number) || (next !== undefined && isWord(next))) this.fail(this.#at, `bad number syntax: ${JSON.stringify(rest.slice(0, number.length + 1))}`);
    take("number", number.length);
  }

  #quoted(quote: string, take: (kind: TokenKind, length: number) => void): void {
    const start = this.#at;
    for (let at = start + 1; at < this.#source.length; at++) {
      const char = this.#source[at];
      if (char === "\\" && quote !== "`") at++;
      else if (char === "\n" && quote !== "`") break;
      else if (char === quote) return take(quote === "'" ? "char" : "string", at - start + 1);
    }
    this.fail(start, quote === "`" ? "unterminated raw quoted string" : quote === "'" ? "unterminated character constant" : "unterminated quoted string");
  }
}
