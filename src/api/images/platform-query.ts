/** The `platform` parameters of image operations: JSON of an OCI platform. */
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import type { Platform } from "../../lib/platform.ts";
import { kindOf } from "../wire/decode.ts";
import { JsonObject, parseJson } from "../wire/json-tree.ts";
import type { Json } from "../wire/json-tree.ts";
import { atLeast, type Call } from "../route.ts";

/** Undefined when it was not asked for. */
export function platformQuery(call: Call, since: number): Platform | undefined {
  const text = atLeast(call.version, since) ? (call.query.get("platform") ?? "") : "";
  return text === "" ? undefined : decodePlatform(text);
}

/** Several from API 1.52 on. */
export function platformsQuery(call: Call): Platform[] {
  if (!atLeast(call.version, 48)) return [];
  const texts = call.query.getAll("platform");
  if (texts.length > 1 && !atLeast(call.version, 52)) throw invalidParameter("multiple platform parameters are not supported in this API version; use API version 1.52 or later");
  return texts.map(decodePlatform);
}

/** JSON of an OCI platform. */
export function decodePlatform(text: string): Platform {
  let json: Json;
  try {
    json = parseJson(text);
  } catch (cause) {
    throw invalidParameter(`failed to parse platform: ${messageOf(cause)}`, cause);
  }
  if (json !== null && !(json instanceof JsonObject)) throw invalidParameter(`failed to parse platform: json: cannot unmarshal ${kindOf(json)} into Go value of type v1.Platform`);
  const fields = new Map((json?.entries ?? []).map(([key, value]) => [key.toLowerCase(), value]));
  const field = (key: string): string => {
    const value = fields.get(key) ?? "";
    if (typeof value === "string") return value;
    throw invalidParameter(`failed to parse platform: json: cannot unmarshal ${kindOf(value)} into Go struct field Platform.${key} of type string`);
  };
  const [os, architecture, variant, version] = [field("os"), field("architecture"), field("variant"), field("os.version")];
  if (os === "" && architecture === "" && (variant !== "" || version !== "")) throw invalidParameter("optional platform fields provided, but OS and Architecture are missing");
  if (os === "" || architecture === "") throw invalidParameter("both OS and Architecture must be provided");
  return { os, architecture, ...(variant === "" ? {} : { variant }), ...(version === "" ? {} : { "os.version": version }) };
}
