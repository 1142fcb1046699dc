/** Numbers in query parameters, refused in Go's words as Docker passes them on. */
import { invalidParameter } from "../lib/errors.ts";

/** strconv.Atoi. */
export function atoi(text: string): number {
  if (!/^[+-]?\d+$/.test(text)) throw invalidParameter(`strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
  const number = Number(text);
  if (!Number.isSafeInteger(number)) throw invalidParameter(`strconv.Atoi: parsing ${JSON.stringify(text)}: value out of range`);
  return number;
}

/** A 32-bit unsigned size of a terminal, as `resize` takes it. */
export function terminalSize(query: URLSearchParams, key: "h" | "w", name: "height" | "width"): number {
  const text = query.get(key) ?? "";
  if (!/^[+-]?\d+$/.test(text)) throw invalidParameter(`invalid resize ${name} ${JSON.stringify(text)}: invalid syntax`);
  const number = Number(text);
  if (text.startsWith("-") || number > 0xffffffff) throw invalidParameter(`invalid resize ${name} ${JSON.stringify(text)}: value out of range`);
  return number;
}
