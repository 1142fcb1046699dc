/** Annotations "org.systemd.property.NAME" give a unit further properties; their values are in GVariant's text form. */
import { invalidParameter } from "../../../lib/errors.ts";
import { lookup } from "../../../lib/lookup.ts";
import type { DbusValue } from "../../../sys/dbus/message.ts";
import type { Property } from "./properties.ts";

const prefix = "org.systemd.property.";

export function annotatedProperties(annotations: Readonly<Record<string, string>> = {}): Property[] {
  return Object.entries(annotations).filter(([key]) => key.startsWith(prefix)).map(([key, text]) => propertyOf(key, text));
}

/** "...Sec" is what systemd's files call it, in seconds; its bus has "...USec". */
function propertyOf(key: string, text: string): Property {
  const name = key.slice(prefix.length);
  if (!/^[A-Za-z]{3,}$/.test(name)) throw invalidParameter(`annotations: ${key}: ${JSON.stringify(name)} is not the name of a systemd property`);
  try {
    const value = parseVariant(text);
    return /[a-z]Sec$/.test(name) ? [name.replace(/Sec$/, "USec"), microseconds(value)] : [name, value];
  } catch (error) {
    if (error instanceof RangeError || error instanceof SyntaxError) throw invalidParameter(`annotations: ${key}: ${JSON.stringify(text)}: ${error.message}`, error);
    throw error;
  }
}

type Variant = [signature: string, value: DbusValue];

function microseconds([signature, value]: Variant): Variant {
  if (!"ynqiuxtd".includes(signature)) throw new SyntaxError("a time must be a number of seconds");
  return ["t", typeof value === "bigint" ? value * 1_000_000n : BigInt(Math.round((value as number) * 1e6))];
}

/** https://docs.gtk.org/glib/gvariant-text-format.html, but for dictionaries, variants in variants and maybe types. */
export function parseVariant(text: string): Variant {
  const tokens = tokensOf(text);
  const variant = takeVariant(tokens, undefined);
  if (tokens.length > 0) throw new SyntaxError(`${tokens[0]} is too much`);
  return variant;
}

const words: Record<string, string> = { boolean: "b", byte: "y", int16: "n", uint16: "q", int32: "i", uint32: "u", int64: "x", uint64: "t", double: "d", string: "s", objectpath: "o", signature: "g" };

function tokensOf(text: string): string[] {
  const tokens = text.match(/'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|@[a-z()]+|[[\](),]|[\w.+-]+|\S/gs) ?? [];
  if (tokens.length === 0) throw new SyntaxError("a value is missing");
  return tokens;
}

/** `type`: what it is said to be, or what its siblings are. */
function takeVariant(tokens: string[], type: string | undefined): Variant {
  const token = tokens.shift();
  if (token === undefined) throw new SyntaxError("a value is missing");
  const named = token.startsWith("@") ? token.slice(1) : lookup(words, token);
  if (named !== undefined) return takeVariant(tokens, named);
  if (token === "[") return takeArray(tokens, type);
  if (token === "(") return takeTuple(tokens, type);
  return scalar(token, type);
}

function takeArray(tokens: string[], type: string | undefined): Variant {
  const values: DbusValue[] = [];
  let element = type?.startsWith("a") ? type.slice(1) : undefined;
  while (tokens[0] !== "]") {
    const [signature, value] = takeVariant(tokens, element);
    element ??= signature;
    values.push(value);
    if (tokens[0] === ",") tokens.shift();
    else if (tokens[0] !== "]") throw new SyntaxError("a list has no end");
  }
  tokens.shift();
  if (element === undefined) throw new SyntaxError("an empty list needs its type, such as @as []");
  return [`a${element}`, values];
}

/** Its members say what they are. */
function takeTuple(tokens: string[], type: string | undefined): Variant {
  const members: Variant[] = [];
  while (tokens[0] !== ")") {
    members.push(takeVariant(tokens, undefined));
    if (tokens[0] === ",") tokens.shift();
    else if (tokens[0] !== ")") throw new SyntaxError("a tuple has no end");
  }
  tokens.shift();
  const signature = `(${members.map(([each]) => each).join("")})`;
  if (type !== undefined && type !== signature) throw new SyntaxError(`a tuple is of type ${signature}, not ${type}`);
  return [signature, members.map(([, value]) => value)];
}

const whole: Record<string, [least: bigint, most: bigint]> = {
  y: [0n, 0xffn],
  n: [-0x8000n, 0x7fffn],
  q: [0n, 0xffffn],
  i: [-0x8000_0000n, 0x7fff_ffffn],
  u: [0n, 0xffff_ffffn],
  x: [-(2n ** 63n), 2n ** 63n - 1n],
  t: [0n, 2n ** 64n - 1n],
};

function scalar(token: string, type: string | undefined): Variant {
  const text = /^(['"])(.*)\1$/s.exec(token)?.[2];
  if (text !== undefined) return [expected(type ?? "s", "sog", token), text.replaceAll(/\\(.)/gs, "$1")];
  if (token === "true" || token === "false") return [expected(type ?? "b", "b", token), token === "true"];
  if (/^[+-]?\d+\.\d*$/.test(token)) return [expected(type ?? "d", "d", token), Number(token)];
  if (!/^[+-]?(0x[\da-fA-F]+|\d+)$/.test(token)) throw new SyntaxError(`${token} is not a value in GVariant's text form`);
  const number = BigInt(token.replace(/^[+-]/, "")) * (token.startsWith("-") ? -1n : 1n);
  const signature = expected(type ?? "i", "ynqiuxtd", token);
  const range = whole[signature];
  if (range !== undefined && (number < range[0] || number > range[1])) throw new SyntaxError(`${token} is beyond the range of its type`);
  return [signature, signature === "x" || signature === "t" ? number : Number(number)];
}

function expected(type: string, allowed: string, token: string): string {
  if (type.length !== 1 || !allowed.includes(type)) throw new SyntaxError(`${token} is not of type ${type}`);
  return type;
}
