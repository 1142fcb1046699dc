/** Go's fmt verbs, as far as a template's printf meets them. */
import { Float, format, isNumber, numeric, toJson } from "./values.ts";

const VERB = /%([-+# 0]*)(\*|\d+)?(?:\.(\*|\d+)?)?([a-zA-Z%])/g;

export function sprintf(pattern: string, values: unknown[]): string {
  let used = 0;
  const next = (): unknown => values[used++];
  const out = pattern.replace(VERB, (whole, flags: string, width: string | undefined, precision: string | undefined, verb: string) => {
    if (verb === "%") return "%";
    const wide = width === "*" ? Number(next()) : Number(width ?? 0);
    const exact = whole.includes(".") ? (precision === "*" ? Number(next()) : Number(precision ?? 0)) : undefined;
    if (used >= values.length) return `%!${verb}(MISSING)`;
    return pad(convert(verb, next(), { flags, precision: exact }), flags, wide);
  });
  if (used >= values.length) return out;
  return `${out}%!(EXTRA ${values.slice(used).map((value) => `${kind(value)}=${format(value)}`).join(", ")})`;
}

function pad(text: string, flags: string, width: number): string {
  const missing = width - [...text].length;
  if (missing <= 0) return text;
  if (flags.includes("-")) return text + " ".repeat(missing);
  if (!flags.includes("0")) return " ".repeat(missing) + text;
  const sign = /^[+-]/.exec(text)?.[0] ?? "";
  return sign + "0".repeat(missing) + text.slice(sign.length);
}

function convert(verb: string, value: unknown, options: { flags: string; precision: number | undefined }): string {
  const { flags, precision } = options;
  const signed = (text: string): string => (flags.includes("+") && !text.startsWith("-") ? `+${text}` : text);
  switch (verb) {
    case "v":
      return flags.includes("#") ? toJson(value) : format(value);
    case "s":
      if (isNumber(value) || typeof value === "boolean") return `%!s(${kind(value)}=${format(value)})`;
      return precision === undefined ? format(value) : [...format(value)].slice(0, precision).join("");
    case "q":
      return Array.isArray(value) ? `[${value.map((item) => JSON.stringify(format(item))).join(" ")}]` : JSON.stringify(format(value));
    case "t":
      return typeof value === "boolean" ? String(value) : wrong(verb, value);
    case "T":
      return kind(value);
    case "x":
    case "X": {
      const hex = isNumber(value) ? numeric(value).toString(16) : Buffer.from(format(value)).toString("hex");
      return (flags.includes("#") ? "0x" : "") + (verb === "X" ? hex.toUpperCase() : hex);
    }
    case "d":
    case "o":
    case "b":
    case "c":
    case "U":
      return integer(verb, value, signed);
    case "f":
    case "F":
      return isNumber(value) ? signed(Number(numeric(value)).toFixed(precision ?? 6)) : wrong(verb, value);
    case "e":
      return isNumber(value) ? signed(Number(numeric(value)).toExponential(precision ?? 6).replace(/e([+-])(\d)$/, "e$10$2")) : wrong(verb, value);
    case "g":
      return isNumber(value) ? signed(format(new Float(Number(numeric(value))))) : wrong(verb, value);
    default:
      return wrong(verb, value);
  }
}

function integer(verb: string, value: unknown, signed: (text: string) => string): string {
  if (!isNumber(value) || value instanceof Float) return wrong(verb, value);
  if (verb === "c") return String.fromCodePoint(Number(value));
  if (verb === "U") return `U+${Number(value).toString(16).toUpperCase().padStart(4, "0")}`;
  return signed(value.toString(verb === "d" ? 10 : verb === "o" ? 8 : 2));
}

const wrong = (verb: string, value: unknown): string => `%!${verb}(${kind(value)}=${format(value)})`;

function kind(value: unknown): string {
  if (typeof value === "string") return "string";
  if (typeof value === "boolean") return "bool";
  if (value instanceof Float || (typeof value === "number" && !Number.isInteger(value))) return "float64";
  if (isNumber(value)) return "int";
  if (value === undefined || value === null) return "<nil>";
  return Array.isArray(value) ? "[]interface {}" : "map[string]interface {}";
}
