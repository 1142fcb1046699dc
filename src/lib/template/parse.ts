/** The parser of Go's text/template: tokens into a tree. */
import { Scanner } from "./scan.ts";
import type { Token, TokenKind } from "./scan.ts";

export type Node =
  | { kind: "text"; text: string }
  | { kind: "action"; pipe: Pipe }
  | { kind: "if" | "with" | "range"; pipe: Pipe; body: Node[]; otherwise: Node[] }
  | { kind: "template"; name: string; pipe: Pipe | undefined; position: number }
  | { kind: "break" | "continue" };

export interface Pipe {
  position: number;
  declare: string[];
  assign: boolean;
  commands: Command[];
}

export interface Command {
  position: number;
  operands: Operand[];
}

export type Operand =
  | { kind: "dot" | "nil"; position: number }
  | { kind: "field"; names: string[]; position: number }
  | { kind: "variable"; name: string; names: string[]; position: number }
  | { kind: "chain"; base: Operand; names: string[]; position: number }
  | { kind: "function"; name: string; position: number }
  | { kind: "pipe"; pipe: Pipe; position: number }
  | { kind: "string"; value: string; source: string; position: number }
  | { kind: "number"; value: number; source: string; position: number }
  | { kind: "bool"; value: boolean; position: number };

export interface Template {
  name: string;
  source: string;
  body: Node[];
  defined: Map<string, Node[]>;
}

/** Parses `source`; `functions` are the names that may be called. Throws TemplateSyntaxError with Go's words. */
export function parseTemplate(source: string, options: { name: string; functions: ReadonlySet<string> }): Template {
  return new Parser(source, options).parse();
}

class Parser {
  readonly #source: string;
  readonly #options: { name: string; functions: ReadonlySet<string> };
  readonly #scanner: Scanner;
  readonly #tokens: Token[];
  readonly #defined = new Map<string, Node[]>();
  #variables: string[] = ["$"];
  #loops = 0;
  #at = 0;

  constructor(source: string, options: { name: string; functions: ReadonlySet<string> }) {
    this.#source = source;
    this.#options = options;
    this.#scanner = new Scanner(source, options.name);
    this.#tokens = this.#scanner.scan();
  }

  parse(): Template {
    const { nodes, stop } = this.#list();
    if (stop !== "eof") this.#fail(`unexpected {{${stop}}}`);
    return { name: this.#options.name, source: this.#source, body: nodes, defined: this.#defined };
  }

  get #token(): Token {
    return (this.#tokens[this.#at] ?? this.#tokens.at(-1)) as Token;
  }

  #fail(message: string, position = this.#token.position): never {
    return this.#scanner.fail(position, message);
  }

  #skipSpace(): Token {
    while (this.#token.kind === "space") this.#at++;
    return this.#token;
  }

  #take(kind: TokenKind, context: string): Token {
    const token = this.#skipSpace();
    if (token.kind !== kind) this.#unexpected(token, context);
    this.#at++;
    return token;
  }

  #unexpected(token: Token, context: string): never {
    const shown = token.kind === "eof" ? "EOF" : token.kind === "keyword" ? `<${token.text}>` : token.text.length > 10 ? `${JSON.stringify(token.text.slice(0, 10))}...` : JSON.stringify(token.text);
    return this.#fail(`unexpected ${shown} in ${context}`, token.position);
  }

  /** Nodes up to {{end}}, {{else}} or the end of the source; `stop` says which. */
  #list(): { nodes: Node[]; stop: string } {
    const nodes: Node[] = [];
    for (;;) {
      const token = this.#token;
      this.#at++;
      if (token.kind === "eof") return { nodes, stop: "eof" };
      if (token.kind === "text") {
        nodes.push({ kind: "text", text: token.text });
        continue;
      }
      const next = this.#skipSpace();
      if (next.kind !== "keyword") {
        nodes.push(this.#action());
        continue;
      }
      this.#at++;
      if (next.text === "end" || next.text === "else") {
        if (next.text === "end") this.#take("close", "end");
        return { nodes, stop: next.text };
      }
      const node = this.#control(next);
      if (node) nodes.push(node);
    }
  }

  #action(): Node {
    return { kind: "action", pipe: this.#pipe("command", "close") };
  }

  #control(keyword: Token): Node | undefined {
    switch (keyword.text) {
      case "if":
      case "with":
      case "range":
        return this.#branch(keyword.text);
      case "break":
      case "continue":
        if (this.#loops === 0) this.#fail(`{{${keyword.text}}} outside {{range}}`, keyword.position);
        this.#take("close", `{{${keyword.text}}}`);
        return { kind: keyword.text };
      case "template": {
        const name = this.#name("template clause");
        if (this.#skipSpace().kind === "close") {
          this.#at++;
          return { kind: "template", name, pipe: undefined, position: keyword.position };
        }
        return { kind: "template", name, pipe: this.#pipe("template clause", "close"), position: keyword.position };
      }
      case "define":
        this.#define(this.#name("define clause"), () => this.#take("close", "define clause"));
        return undefined;
      default: {
        const name = this.#name("block clause");
        const pipe = this.#pipe("block clause", "close");
        this.#define(name, () => undefined);
        return { kind: "template", name, pipe, position: keyword.position };
      }
    }
  }

  #name(context: string): string {
    return unquote(this.#take("string", context).text);
  }

  #define(name: string, close: () => unknown): void {
    close();
    const outer = this.#variables;
    this.#variables = ["$"];
    const { nodes, stop } = this.#list();
    if (stop !== "end") this.#fail(stop === "eof" ? "unexpected EOF" : `unexpected {{${stop}}} in define clause`);
    this.#variables = outer;
    this.#defined.set(name, nodes);
  }

  #branch(kind: "if" | "with" | "range"): Node {
    const scope = this.#variables.length;
    const pipe = this.#pipe(kind, "close");
    if (kind === "range") this.#loops++;
    const { nodes: body, stop } = this.#list();
    if (kind === "range") this.#loops--;
    if (stop === "eof") this.#fail("unexpected EOF");
    const otherwise = stop === "else" ? this.#otherwise(kind) : [];
    this.#variables.length = scope;
    return { kind, pipe, body, otherwise };
  }

  #otherwise(kind: "if" | "with" | "range"): Node[] {
    const next = this.#skipSpace();
    if (next.kind === "keyword" && (next.text === kind) && kind !== "range") {
      this.#at++;
      return [this.#branch(kind)];
    }
    this.#take("close", "else");
    const { nodes, stop } = this.#list();
    if (stop !== "end") this.#fail(stop === "eof" ? "unexpected EOF" : "expected end; found {{else}}");
    return nodes;
  }

  #pipe(context: string, end: "close" | ")"): Pipe {
    const position = this.#skipSpace().position;
    const { declare, assign } = this.#declarations(context);
    const commands: Command[] = [];
    for (;;) {
      const token = this.#skipSpace();
      if (token.kind === end) {
        this.#at++;
        break;
      }
      commands.push(this.#command(context, end));
      if (this.#token.kind === "pipe") {
        this.#at++;
        if (this.#skipSpace().kind === end) this.#fail(`missing value for ${context}`);
      }
    }
    if (commands.length === 0) this.#fail(`missing value for ${context}`, position);
    commands.slice(1).forEach((command, index) => {
      const first = command.operands[0];
      if (first && ["bool", "dot", "nil", "number", "string"].includes(first.kind)) this.#fail(`non executable command in pipeline stage ${index + 2}`, first.position);
    });
    if (!assign) this.#variables.push(...declare);
    return { position, declare, assign, commands };
  }

  #declarations(context: string): { declare: string[]; assign: boolean } {
    const start = this.#at;
    const declare: string[] = [];
    for (;;) {
      const token = this.#skipSpace();
      if (token.kind !== "variable") break;
      this.#at++;
      const next = this.#skipSpace();
      if (next.kind === "declare" || next.kind === "assign") {
        this.#at++;
        declare.push(token.text);
        if (declare.length > 1 && context !== "range") this.#fail(`too many declarations in ${context}`);
        if (next.kind === "assign") for (const name of declare) this.#known(name, token.position);
        return { declare, assign: next.kind === "assign" };
      }
      if (next.kind !== "comma") break;
      if (context !== "range") this.#fail(`too many declarations in ${context}`);
      this.#at++;
      declare.push(token.text);
    }
    this.#at = start;
    return { declare: [], assign: false };
  }

  #known(name: string, position: number): void {
    if (!this.#variables.includes(name)) this.#fail(`undefined variable ${JSON.stringify(name)}`, position);
  }

  #command(context: string, end: "close" | ")"): Command {
    const position = this.#skipSpace().position;
    const operands: Operand[] = [];
    for (;;) {
      const token = this.#skipSpace();
      const operand = this.#operand();
      if (operand) operands.push(operand);
      const next = this.#token;
      if (next.kind === "space") {
        const after = this.#skipSpace();
        if (after.kind === "pipe" || after.kind === end) break;
        continue;
      }
      if (next.kind === "pipe" || next.kind === end) break;
      if (!operand || next === token || next.kind === "close" || next.kind === ")" || next.kind === "eof") this.#unexpected(next, context);
      this.#unexpected(next, "operand");
    }
    if (operands.length === 0) this.#fail("empty command", position);
    return { position, operands };
  }

  #operand(): Operand | undefined {
    const base = this.#term();
    if (!base || this.#token.kind !== "field") return base;
    const position = this.#token.position;
    const names: string[] = [];
    while (this.#token.kind === "field") {
      names.push(this.#token.text.slice(1));
      this.#at++;
    }
    if (base.kind === "field") return { kind: "field", names: [...base.names, ...names], position };
    if (base.kind === "variable") return { ...base, names: [...base.names, ...names], position };
    if (["bool", "string", "number", "nil", "dot"].includes(base.kind)) this.#fail(`unexpected . after term ${JSON.stringify(operandText(base))}`, position);
    return { kind: "chain", base, names, position };
  }

  #term(): Operand | undefined {
    const token = this.#token;
    const position = token.position;
    this.#at++;
    switch (token.kind) {
      case "identifier":
        if (!this.#options.functions.has(token.text)) this.#fail(`function ${JSON.stringify(token.text)} not defined`, position);
        return { kind: "function", name: token.text, position };
      case "dot":
      case "nil":
        return { kind: token.kind, position };
      case "variable":
        this.#known(token.text, position);
        return { kind: "variable", name: token.text, names: [], position };
      case "field":
        return { kind: "field", names: [token.text.slice(1)], position };
      case "bool":
        return { kind: "bool", value: token.text === "true", position };
      case "number":
        return { kind: "number", value: Number(token.text.replaceAll("_", "")), source: token.text, position };
      case "char":
        return { kind: "number", value: unquote(`"${token.text.slice(1, -1)}"`).codePointAt(0) ?? 0, source: token.text, position };
      case "string":
        return { kind: "string", value: unquote(token.text), source: token.text, position };
      case "(":
        return { kind: "pipe", pipe: this.#pipe("parenthesized pipeline", ")"), position };
      default:
        this.#at--;
        return undefined;
    }
  }
}

/** A Go string literal's value. */
export function unquote(literal: string): string {
  if (literal.startsWith("`")) return literal.slice(1, -1);
  const escapes: Record<string, string> = { n: "\n", t: "\t", r: "\r", a: "\x07", b: "\b", f: "\f", v: "\v" };
  return literal.slice(1, -1).replace(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)/gs, (_, code: string) => {
    if (/^[xuU]./.test(code)) return String.fromCodePoint(Number.parseInt(code.slice(1), 16));
    if (/^[0-7]{3}$/.test(code)) return String.fromCharCode(Number.parseInt(code, 8));
    return escapes[code] ?? code;
  });
}

/** An operand as error messages show it. */
export function operandText(operand: Operand): string {
  switch (operand.kind) {
    case "dot":
      return ".";
    case "nil":
      return "nil";
    case "field":
      return operand.names.map((name) => `.${name}`).join("");
    case "variable":
      return [operand.name, ...operand.names].join(".");
    case "chain":
      return (operand.base.kind === "pipe" ? `(${pipeText(operand.base.pipe)})` : operandText(operand.base)) + operand.names.map((name) => `.${name}`).join("");
    case "function":
      return operand.name;
    case "pipe":
      return `(${pipeText(operand.pipe)})`;
    case "string":
    case "number":
      return operand.source;
    case "bool":
      return String(operand.value);
  }
}

export const commandText = (command: Command): string => command.operands.map(operandText).join(" ");

export function pipeText(pipe: Pipe): string {
  const declared = pipe.declare.length > 0 ? `${pipe.declare.join(", ")} ${pipe.assign ? "=" : ":="} ` : "";
  return declared + pipe.commands.map(commandText).join(" | ");
}
