/** Reads JSON request bodies, with a budget. */
import { invalidParameter, unavailable } from "../../lib/errors.ts";
import { bodyOf } from "../body.ts";
import type { Call } from "../route.ts";
import { type Infer, type Schema, zero } from "../../lib/schema.ts";
import { decode, parseBody } from "./decode.ts";
import type { Json } from "./json-tree.ts";
import { mediaTypeOf } from "./media-type.ts";

const MAX_BYTES = 16 * 1024 * 1024;
/** What all requests together may have in memory while they are read. */
const MAX_BYTES_AT_ONCE = 128 * 1024 * 1024;
let bytesAtOnce = 0;

/** The parsed body; undefined when the request has none. Refuses other media types as Docker does. */
export async function readJson(call: Call): Promise<Json | undefined> {
  const type = call.req.headers["content-type"] ?? "";
  const isEmpty = call.req.headers["transfer-encoding"] === undefined && Number(call.req.headers["content-length"] ?? 0) === 0;
  if (type === "" && isEmpty) return undefined;
  checkMediaType(type);
  return isEmpty ? undefined : parseBody(await readText(call));
}

/** The body as a schema says; its zero value when the request has none. */
export async function readBody<S extends Schema>(call: Call, schema: S): Promise<Infer<S>> {
  const json = await readJson(call);
  return json === undefined ? (zero(schema) as Infer<S>) : decode(schema, json);
}

function checkMediaType(type: string): void {
  const media = mediaTypeOf(type);
  if (media === "") throw invalidParameter(`malformed Content-Type header (${type}): mime: no media type`);
  if (media !== "application/json") throw invalidParameter(`unsupported Content-Type header (${type}): must be 'application/json'`);
}

/** The body as text. Throws when it is larger than what is read of a document; the server swallows the rest. */
export async function readText(call: Call): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of bodyOf(call)) {
      size += chunk.length;
      bytesAtOnce += chunk.length;
      if (size > MAX_BYTES) throw invalidParameter(`the request body is larger than the ${MAX_BYTES} bytes that are read of a JSON document`);
      if (bytesAtOnce > MAX_BYTES_AT_ONCE) throw unavailable("too many large request bodies are being read at once; try again");
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString("utf8");
  } finally {
    bytesAtOnce -= size;
  }
}
