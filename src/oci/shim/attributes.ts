import type { LogRequest } from "../../core/runtime.ts";

/** What a shim is told of a log, beside its path. */
export const logLimits = (log: LogRequest): { logAttributes: string; logMaxBytes: number; logMaxFiles: number } =>
  log.kind === "none" ? { logAttributes: "", logMaxBytes: 0, logMaxFiles: 1 } : { logAttributes: attributesJson(log.attributes), logMaxBytes: log.maxBytes ?? 0, logMaxFiles: Math.max(1, log.maxFiles) };

/** Log attributes as Go's encoding/json writes a map: keys in order, <, > and & escaped. "" without any. */
export function attributesJson(attributes: Record<string, string> | undefined): string {
  const entries = Object.entries(attributes ?? {});
  if (entries.length === 0) return "";
  entries.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return `{${entries.map(([key, value]) => `${goString(key)}:${goString(value)}`).join(",")}}`;
}

const goString = (text: string): string =>
  JSON.stringify(text).replace(/[<>&\u2028\u2029]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
