/** Lists: rows printed by a Go template, alone or as a table with headers. */
import { messageOf } from "../../lib/errors.ts";
import { compile, execute } from "../../lib/template/execute.ts";
import type { Template } from "../../lib/template/parse.ts";
import { TemplateObject } from "../../lib/template/values.ts";
import { alignTabs } from "./tabwriter.ts";

export interface RowKind {
  /** The Go type that error texts name. */
  typeName: string;
  headers: Record<string, string>;
}

/** A list's row: functions are its columns, those with parameters are methods. */
export const row = (kind: RowKind, columns: Record<string, unknown>): TemplateObject => new TemplateObject(kind.typeName, columns, { row: true });

const LAYOUT = { minWidth: 10, padding: 3 };

/** The template in a --format: `json`, `table ...` and the escapes \t and \n are taken care of. */
export function templateSource(format: string): string {
  if (format === "json") return "{{json .}}";
  if (format === "table") return "";
  const source = format.startsWith("table") ? format.slice("table".length) : format;
  return source.replace(/^ +| +$/g, "").replaceAll("\\t", "\t").replaceAll("\\n", "\n");
}

/** Throws "template parsing error: ...". */
export function compileFormat(format: string): Template {
  try {
    return compile(templateSource(format));
  } catch (thrown) {
    throw new Error(`template parsing error: ${messageOf(thrown)}`);
  }
}

export function formatRows(format: string, kind: RowKind, rows: TemplateObject[]): string {
  const template = compileFormat(format);
  let body = "";
  try {
    for (const item of rows) body += `${execute(template, item)}\n`;
  } catch (thrown) {
    throw new Error(`template parsing error: ${messageOf(thrown)}`);
  }
  if (!format.startsWith("table")) return body;
  return alignTabs(`${headerLine(template, kind)}\n${body}`, LAYOUT);
}

/** A map of names to headings: one that is missing is no mistake. */
class Header extends TemplateObject {
  constructor(headers: Record<string, string>) {
    super("formatter.SubHeaderContext", { ...headers, Label: (name: string) => (name.split(".").at(-1) ?? "").replace(/[-_]/g, " ") });
  }
  override resolve(name: string): string {
    return name;
  }
}

const first = (value: unknown): unknown => value;
const HEADER_FUNCTIONS = { json: first, split: first, join: first, title: first, lower: first, upper: first, truncate: first };

function headerLine(template: Template, kind: RowKind): string {
  try {
    return execute(template, new Header(kind.headers), { functions: HEADER_FUNCTIONS });
  } catch {
    return "";
  }
}
