/** The common way of all `inspect` commands: each name in turn, then what was found, then the errors. */
import { messageOf } from "../../lib/errors.ts";
import { parseKeepingBigIntegers } from "../../lib/json-integers.ts";
import { StatusError } from "../status-error.ts";
import type { OutputStream } from "../streams.ts";
import { compile, execute } from "../../lib/template/execute.ts";
import type { Template } from "../../lib/template/parse.ts";
import { compactJson, indentJson } from "./json.ts";
import { typedValue } from "./typed.ts";

const BAD_TEMPLATE = 64;

/** `find` answers the JSON of a name as the daemon wrote it. Throws StatusError with all errors when there are any. */
export async function inspectAll(names: string[], options: { format: string; out: OutputStream; find: (name: string) => Promise<string> }): Promise<void> {
  const { format, out, find } = options;
  const template = format === "" || format === "json" ? undefined : compileFormat(format);
  const found: string[] = [];
  const errors: string[] = [];
  for (const name of names) {
    try {
      const json = await find(name);
      found.push(template ? render(template, json) : json);
    } catch (thrown) {
      errors.push(messageOf(thrown));
    }
  }
  if (template) out.write(found.length === 0 ? "\n" : found.map((text) => `${text}\n`).join(""));
  else out.line(found.length === 0 ? "[]" : (format === "json" ? compactJson : indentJson)(`[${found.join(",")}]`));
  if (errors.length > 0) throw new StatusError(1, errors.join("\n"));
}

function compileFormat(format: string): Template {
  try {
    return compile(format);
  } catch (thrown) {
    throw new StatusError(BAD_TEMPLATE, `template parsing error: ${messageOf(thrown)}`);
  }
}

/** On the typed value, and where that fails on the raw one, whose error is the one to tell. */
function render(template: Template, json: string): string {
  const raw = parseKeepingBigIntegers(json);
  try {
    return execute(template, typedValue(raw));
  } catch {
    try {
      return execute(template, raw, { missingKey: "error" });
    } catch (thrown) {
      throw new Error(`template parsing error: ${messageOf(thrown)}`);
    }
  }
}
