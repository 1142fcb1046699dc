/** JSON from strangers: bounded in size and depth, and without duplicate keys, which different readers understand differently. */
import { invalidParameter } from "./errors.ts";

const mostDepth = 64;

/** Throws invalid-parameter. */
export function parseStrictJson(bytes: Uint8Array, mostBytes: number): unknown {
  if (bytes.length > mostBytes) throw invalidParameter(`JSON document of ${bytes.length} bytes is larger than ${mostBytes}`);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw invalidParameter("JSON document is not UTF-8", cause);
  }
  checkDepth(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalidParameter(`invalid JSON: ${(cause as Error).message.slice(0, 200)}`, cause);
  }
  checkKeys(text);
  return value;
}

function checkDepth(text: string): void {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const c = text.charCodeAt(at);
    if (c === 0x22) at = endOfString(text, at);
    else if (c === 0x7b || c === 0x5b) {
      if (++depth > mostDepth) throw invalidParameter(`JSON document is nested deeper than ${mostDepth} levels`);
    } else if (c === 0x7d || c === 0x5d) depth--;
  }
}

/** The index of the quote that ends the string that starts at `at`. */
function endOfString(text: string, at: number): number {
  for (let end = at + 1; end < text.length; end++) {
    const c = text.charCodeAt(end);
    if (c === 0x5c) end++;
    else if (c === 0x22) return end;
  }
  return text.length;
}

/** `text` is known to be JSON. */
function checkKeys(text: string): void {
  const open: (Set<string> | undefined)[] = [];
  for (let at = 0; at < text.length; at++) {
    const c = text.charCodeAt(at);
    if (c === 0x7b) open.push(new Set());
    else if (c === 0x5b) open.push(undefined);
    else if (c === 0x7d || c === 0x5d) open.pop();
    else if (c === 0x22) {
      const end = endOfString(text, at);
      const keys = open.at(-1);
      if (keys && isKey(text, end)) addKey(keys, JSON.parse(text.slice(at, end + 1)) as string);
      at = end;
    }
  }
}

function isKey(text: string, quote: number): boolean {
  let at = quote + 1;
  while (text[at] === " " || text[at] === "\n" || text[at] === "\t" || text[at] === "\r") at++;
  return text[at] === ":";
}

function addKey(keys: Set<string>, key: string): void {
  if (keys.has(key)) throw invalidParameter(`JSON document has the key ${JSON.stringify(key.slice(0, 100))} twice`);
  keys.add(key);
}
