/** A Dockerfile's text as instructions: comments and continuations resolved. */
import { invalidParameter } from "../../lib/errors.ts";

export interface Instruction {
  /** Upper case. */
  name: string;
  /** The name as it stands there. */
  written: string;
  rest: string;
}

export function readInstructions(text: string): Instruction[] {
  const instructions: Instruction[] = [];
  let pending: string | undefined;
  for (const line of text.split("\n")) {
    if (/^\s*#/.test(line) || (pending !== undefined && line.trim() === "")) continue;
    const continued = /\\[ \t]*\r?$/.exec(line);
    const part = continued ? line.slice(0, continued.index) : line.replace(/\r$/, "");
    pending = (pending ?? "") + (pending === undefined ? part.trimStart() : part);
    if (continued) continue;
    if (pending.trim() !== "") instructions.push(readInstruction(pending.trim()));
    pending = undefined;
  }
  if (pending !== undefined && pending.trim() !== "") instructions.push(readInstruction(pending.trim()));
  if (instructions.length === 0) throw invalidParameter("file with no instructions");
  return instructions;
}

export function readInstruction(line: string): Instruction {
  const [, name = "", rest = ""] = /^(\S+)\s*([^]*)$/.exec(line) ?? [];
  return { name: name.toUpperCase(), written: name, rest: rest.trim() };
}

/** Flags in front of the arguments: "--interval=5s". */
export function readFlags(rest: string): { flags: Map<string, string>; rest: string } {
  const flags = new Map<string, string>();
  let left = rest;
  for (;;) {
    const match = /^--([^\s=]+)(?:=(\S*))?(?:\s+|$)/.exec(left);
    if (!match) return { flags, rest: left };
    const [all, name = "", value = ""] = match;
    if (flags.has(name)) throw invalidParameter(`Duplicate flag specified: ${name}`);
    flags.set(name, value);
    left = left.slice(all.length);
  }
}

/** The strings of the JSON array form, or undefined for the shell form. */
export function readExecForm(rest: string): string[] | undefined {
  if (!rest.startsWith("[")) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(rest);
  } catch {
    return undefined;
  }
  if (Array.isArray(json) && json.every((item) => typeof item === "string")) return json;
  throw invalidParameter("when using JSON array syntax, arrays must be comprised of strings only");
}
