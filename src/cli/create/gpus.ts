import { parseCsv } from "../parse/csv.ts";
import { keyValues } from "./key-values.ts";

export interface DeviceRequest {
  Driver: string;
  Count: number;
  DeviceIDs: string[] | null;
  Capabilities: string[][] | null;
  Options: Record<string, string> | null;
}

function count(text: string): number {
  if (text === "all") return -1;
  if (!/^[+-]?\d+$/.test(text)) throw new Error(`invalid count (${text}): value must be either "all" or an integer: invalid syntax`);
  return Number(text);
}

/** "all", "2" or "device=0,capabilities=...". Throws an Error with Docker's words. */
export function parseGpuRequest(text: string): DeviceRequest {
  const request: DeviceRequest = { Driver: "", Count: 0, DeviceIDs: null, Capabilities: null, Options: null };
  const seen = new Set<string>();
  for (const field of parseCsv(text)) {
    const equals = field.indexOf("=");
    const key = equals < 0 ? field : field.slice(0, equals);
    const value = field.slice(equals + 1);
    if (seen.has(key)) throw new Error(`gpu request key '${key}' can be specified only once`);
    seen.add(key);
    if (equals < 0) {
      seen.add("count");
      request.Count = count(key);
    } else set(request, { key, value, field });
  }
  if (!seen.has("count") && request.DeviceIDs === null) request.Count = 1;
  request.Options ??= {};
  request.Capabilities ??= [["gpu"]];
  return request;
}

function set(request: DeviceRequest, option: { key: string; value: string; field: string }): void {
  const { key, value, field } = option;
  switch (key) {
    case "driver":
      request.Driver = value;
      return;
    case "count":
      request.Count = count(value);
      return;
    case "device":
      request.DeviceIDs = value.split(",");
      return;
    case "capabilities":
      request.Capabilities = [[...value.split(","), "gpu"]];
      return;
    case "options":
      request.Options = keyValues(parseCsv(value));
      return;
    default:
      throw new Error(`unexpected key '${key}' in '${field}'`);
  }
}
