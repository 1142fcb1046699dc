/** The interpreter of Go's text/template. */
import { FUNCTION_NAMES, FUNCTIONS } from "./functions.ts";
import type { TemplateFunction } from "./functions.ts";
import { commandText, operandText, parseTemplate } from "./parse.ts";
import type { Command, Node, Operand, Pipe, Template } from "./parse.ts";
import { Float, format, isMap, isNumber, isTrue, Nil, numeric, TemplateObject, typeName } from "./values.ts";

export interface ExecuteOptions {
  /** What a missing key of a map is: `<no value>`, or an error. */
  missingKey?: "default" | "error";
  functions?: Record<string, TemplateFunction>;
}

export class TemplateExecutionError extends Error {}

/** Parses a template with Docker's functions. */
export function compile(source: string, name = ""): Template {
  return parseTemplate(source, { name, functions: FUNCTION_NAMES });
}

/** Runs a template on `data`. Throws TemplateExecutionError with Go's words, after none or all of the output. */
export function execute(template: Template, data: unknown, options: ExecuteOptions = {}): string {
  const run = new Run(template, { ...options, functions: { ...FUNCTIONS, ...options.functions } });
  return run.start(data);
}

class Break extends Error {}
class Continue extends Error {}

class Run {
  readonly #template: Template;
  readonly #options: { missingKey?: "default" | "error"; functions: Record<string, TemplateFunction> };
  readonly #variables: { name: string; value: unknown }[] = [];
  #out = "";
  #depth = 0;

  constructor(template: Template, options: { missingKey?: "default" | "error"; functions: Record<string, TemplateFunction> }) {
    this.#template = template;
    this.#options = options;
  }

  start(data: unknown): string {
    this.#variables.push({ name: "$", value: data });
    this.#walk(this.#template.body, data);
    return this.#out;
  }

  #fail(position: number, context: string, message: string): never {
    const before = Buffer.from(this.#template.source.slice(0, position));
    const line = before.toString().split("\n").length;
    const column = before.length - (before.lastIndexOf(10) < 0 ? 0 : before.lastIndexOf(10) + 1);
    const { name } = this.#template;
    throw new TemplateExecutionError(`template: ${name}:${line}:${column}: executing ${JSON.stringify(name)} at <${context}>: ${message}`);
  }

  #walk(nodes: Node[], dot: unknown): void {
    for (const node of nodes) this.#node(node, dot);
  }

  #node(node: Node, dot: unknown): void {
    switch (node.kind) {
      case "text":
        this.#out += node.text;
        return;
      case "action": {
        const value = this.#pipe(node.pipe, dot);
        if (node.pipe.declare.length === 0) this.#out += value === undefined || value === null ? "<no value>" : format(value);
        return;
      }
      case "if":
      case "with": {
        const mark = this.#variables.length;
        const value = this.#pipe(node.pipe, dot);
        if (isTrue(value)) this.#walk(node.body, node.kind === "with" ? value : dot);
        else this.#walk(node.otherwise, dot);
        this.#variables.length = mark;
        return;
      }
      case "range":
        return this.#range(node, dot);
      case "template":
        return this.#call(node, dot);
      case "break":
        throw new Break();
      case "continue":
        throw new Continue();
    }
  }

  #range(node: Extract<Node, { pipe: Pipe; body: Node[] }>, dot: unknown): void {
    const mark = this.#variables.length;
    const value = this.#pipe({ ...node.pipe, declare: [] }, dot);
    const entries = this.#entries(value, node.pipe);
    try {
      for (const [key, item] of entries) {
        this.#variables.length = mark;
        const [first, second] = node.pipe.declare;
        if (first !== undefined) this.#set(node.pipe, first, second === undefined ? item : key);
        if (second !== undefined) this.#set(node.pipe, second, item);
        try {
          this.#walk(node.body, item);
        } catch (thrown) {
          if (!(thrown instanceof Continue)) throw thrown;
        }
      }
    } catch (thrown) {
      if (!(thrown instanceof Break)) throw thrown;
    }
    this.#variables.length = mark;
    if (entries.length === 0) this.#walk(node.otherwise, dot);
  }

  #entries(value: unknown, pipe: Pipe): [unknown, unknown][] {
    if (Array.isArray(value)) return value.map((item, index) => [index, item]);
    if (value === undefined || value === null || value instanceof Nil) return [];
    if (isMap(value)) return Object.keys(value).sort().map((key) => [key, value[key]]);
    if (isNumber(value) && !(value instanceof Float)) return Array.from({ length: Number(numeric(value)) }, (_, index) => [index, index]);
    return this.#fail(pipe.position, commandText(pipe.commands[0] as Command), `range can't iterate over ${format(value)}`);
  }

  #call(node: Extract<Node, { kind: "template" }>, dot: unknown): void {
    const body = this.#template.defined.get(node.name);
    if (!body) return this.#fail(node.position, `{{template ${JSON.stringify(node.name)}}}`, `template ${JSON.stringify(node.name)} not defined`);
    if (++this.#depth > 10_000) this.#fail(node.position, node.name, "exceeded maximum template depth (100000)");
    const data = node.pipe ? this.#pipe(node.pipe, dot) : undefined;
    const outer = this.#variables.splice(0);
    this.#variables.push({ name: "$", value: data });
    this.#walk(body, data);
    this.#variables.splice(0, this.#variables.length, ...outer);
    this.#depth--;
  }

  #set(pipe: Pipe, name: string, value: unknown): void {
    const known = pipe.assign ? this.#variables.findLast((variable) => variable.name === name) : undefined;
    if (known) known.value = value;
    else this.#variables.push({ name, value });
  }

  #pipe(pipe: Pipe, dot: unknown): unknown {
    let value: unknown;
    pipe.commands.forEach((command, index) => {
      value = this.#command(command, dot, index === 0 ? [] : [value]);
    });
    for (const name of pipe.declare) this.#set(pipe, name, value);
    return value;
  }

  #command(command: Command, dot: unknown, final: unknown[]): unknown {
    const [first, ...rest] = command.operands as [Operand, ...Operand[]];
    const lazy = (): unknown[] => [...rest.map((operand) => this.#operand(operand, dot)), ...final];
    if (first.kind === "function") return this.#function(first, command, rest.length === 0 && final.length === 0 ? () => [] : lazy, dot);
    if (first.kind === "field" || first.kind === "variable" || first.kind === "chain") return this.#fields(first, dot, rest.length + final.length > 0 ? lazy() : []);
    if (rest.length > 0 || final.length > 0) this.#fail(first.position, operandText(first), `can't give argument to non-function ${operandText(first)}`);
    if (first.kind === "nil") this.#fail(first.position, "nil", "nil is not a command");
    return this.#operand(first, dot);
  }

  #function(operand: Extract<Operand, { kind: "function" }>, command: Command, values: () => unknown[], dot: unknown): unknown {
    if (operand.name === "and" || operand.name === "or") return this.#logic(operand.name, command, values, dot);
    const call = this.#options.functions[operand.name];
    if (!call) this.#fail(operand.position, operand.name, `${JSON.stringify(operand.name)} is not a defined function`);
    const given = values();
    try {
      return call(...given);
    } catch (thrown) {
      if (thrown instanceof TemplateExecutionError) throw thrown;
      const message = thrown instanceof Error ? thrown.message : String(thrown);
      const whole = command.operands.length > 1 && !message.startsWith("wrong number of args");
      return this.#fail(operand.position, whole ? commandText(command) : operand.name, message);
    }
  }

  #logic(name: "and" | "or", command: Command, values: () => unknown[], dot: unknown): unknown {
    let value: unknown;
    for (const operand of command.operands.slice(1)) {
      value = this.#operand(operand, dot);
      if (isTrue(value) === (name === "or")) return value;
    }
    const given = values();
    if (given.length === 0) this.#fail(command.position, name, `wrong number of args for ${name}: want at least 1 got 0`);
    return given.length > command.operands.length - 1 ? given.at(-1) : value;
  }

  #operand(operand: Operand, dot: unknown): unknown {
    switch (operand.kind) {
      case "dot":
        return dot;
      case "nil":
        return null;
      case "string":
      case "bool":
        return operand.value;
      case "number":
        return /^[+-]?(\d|0[xXoObB])[\da-fA-F_]*$/.test(operand.source) || operand.source.startsWith("'") ? operand.value : new Float(operand.value);
      case "pipe":
        return this.#pipe(operand.pipe, dot);
      case "function":
        return this.#function(operand, { position: operand.position, operands: [operand] }, () => [], dot);
      default:
        return this.#fields(operand, dot, []);
    }
  }

  #fields(operand: Extract<Operand, { kind: "field" | "variable" | "chain" }>, dot: unknown, values: unknown[]): unknown {
    let receiver = dot;
    if (operand.kind === "variable") receiver = this.#variables.findLast((variable) => variable.name === operand.name)?.value;
    if (operand.kind === "chain") receiver = this.#operand(operand.base, dot);
    operand.names.forEach((name, index) => {
      receiver = this.#field(operand, receiver, { name, values: index === operand.names.length - 1 ? values : [] });
    });
    return receiver;
  }

  #field(operand: Operand, receiver: unknown, wanted: { name: string; values: unknown[] }): unknown {
    const { name, values } = wanted;
    const context = operandText(operand);
    const own = receiver instanceof TemplateObject ? receiver.resolve(name) : undefined;
    if (receiver instanceof TemplateObject && own !== undefined) {
      const member = receiver.members[own];
      if (typeof member !== "function") return member;
      if (member.length !== values.length) this.#fail(operand.position, context, `wrong number of args for ${name}: want ${member.length} got ${values.length}`);
      return (member as TemplateFunction).apply(receiver, values);
    }
    if (isMap(receiver)) {
      if (values.length > 0) this.#fail(operand.position, context, `${name} is not a method but has arguments`);
      if (Object.hasOwn(receiver, name)) return receiver[name];
      if (this.#options.missingKey === "error") this.#fail(operand.position, context, `map has no entry for key ${JSON.stringify(name)}`);
      return undefined;
    }
    if (receiver === undefined || receiver === null) {
      if (this.#options.missingKey === "error") this.#fail(operand.position, context, `nil data; no entry for key ${JSON.stringify(name)}`);
      this.#fail(operand.position, context, `nil pointer evaluating interface {}.${name}`);
    }
    if (receiver instanceof Nil && receiver.kind === "map") return undefined;
    if (receiver instanceof Nil) this.#fail(operand.position, context, `nil pointer evaluating ${receiver.typeName}.${name}`);
    return this.#fail(operand.position, context, `can't evaluate field ${name} in type ${typeName(receiver)}`);
  }
}
