/** A request's body as pieces for the content store. */
import type { Call } from "../route.ts";

/** Leaving it early keeps the connection, so that the client can read why. */
export function requestBody(call: Call): AsyncIterable<Buffer> {
  return call.req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
}
