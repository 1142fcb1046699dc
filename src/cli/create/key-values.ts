/** Lists of KEY=VALUE, from flags and files. */
import fs from "node:fs";
import { openError } from "../open-error.ts";

/** A map; a key without "=" has an empty value. */
export function keyValues(entries: string[]): Record<string, string> {
  const result: Record<string, string> = {};
  for (const entry of entries) {
    const equals = entry.indexOf("=");
    const key = equals < 0 ? entry : entry.slice(0, equals);
    Object.defineProperty(result, key, { value: equals < 0 ? "" : entry.slice(equals + 1), enumerable: true, configurable: true, writable: true });
  }
  return result;
}

/** A variable without a value takes the client's own; one that the client does not have stays a bare name. */
export function withOwnValue(entry: string): string {
  const own = entry.includes("=") ? undefined : process.env[entry];
  return own === undefined ? entry : `${entry}=${own}`;
}

/**
 * Lines of environment or label files, before the entries of flags. In an environment file (`environment`) a name without
 * a value takes the client's own value, and is left out when there is none.
 */
export function readKeyValueFiles(files: string[], options: { environment: boolean }): string[] {
  return files.flatMap((file) => readFile(file).flatMap((line) => parseLine(line, { file, ...options })));
}

function readFile(file: string): { text: string; number: number }[] {
  let data: Buffer;
  try {
    data = fs.readFileSync(file);
  } catch (thrown) {
    throw openError(file, thrown);
  }
  const text = data.toString("utf8").replace(/^\ufeff/, "");
  const lines = text.split("\n").map((line) => line.replace(/\r$/, ""));
  if (!data.equals(Buffer.from(data.toString("utf8")))) {
    const at = data.toString("latin1").split("\n").findIndex((line) => Buffer.from(line, "latin1").toString("utf8").includes("\ufffd"));
    throw new Error(`invalid env file (${file}): invalid utf8 bytes at line ${at + 1}: ${JSON.stringify(lines[at] ?? "")}`);
  }
  return lines.map((line, index) => ({ text: line, number: index + 1 }));
}

function parseLine(line: { text: string; number: number }, options: { file: string; environment: boolean }): string[] {
  const text = line.text.replace(/^[\s]+/, "");
  if (text === "" || text.startsWith("#")) return [];
  const equals = text.indexOf("=");
  const key = equals < 0 ? text : text.slice(0, equals);
  const fail = (reason: string): never => {
    throw new Error(`invalid env file (${options.file}): ${reason}`);
  };
  if (key === "") fail(`no variable name on line '${text}'`);
  if (/[ \t]/.test(key)) fail(`variable '${key}' contains whitespaces`);
  if (equals >= 0) return [text];
  const own = options.environment ? process.env[key] : undefined;
  return own === undefined ? [] : [`${key}=${own}`];
}
