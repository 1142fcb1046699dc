/** An archive from an http or https address, for `docker import URL`. */
import type { IncomingMessage } from "node:http";
import { type ErrorCode, GantryError, invalidParameter, messageOf, systemError } from "../../lib/errors.ts";

const mostRedirects = 10;
const mostMessageBytes = 4096;
const codes: Readonly<Record<number, ErrorCode>> = { 400: "invalid-parameter", 401: "unauthorized", 403: "forbidden", 404: "not-found" };

/** "http://" is put before an address without a scheme. Throws what went wrong in Docker's words. */
export async function remoteBody(source: string, signal: AbortSignal, started: (url: string) => void): Promise<AsyncIterable<Uint8Array>> {
  const text = source.includes("://") ? source : `http://${source}`;
  if (text === "http://") throw systemError('Get "http:": http: no Host in request URL');
  let url = URL.parse(text);
  if (!url) throw invalidParameter(`parse ${JSON.stringify(text)}: invalid address`);
  for (let redirects = 0; redirects <= mostRedirects; redirects++) {
    const response = await get(url, signal);
    const { statusCode = 0, statusMessage = "" } = response;
    const next = statusCode >= 300 && statusCode < 400 ? response.headers.location : undefined;
    if (next === undefined && statusCode < 400) {
      started(url.href);
      return response;
    }
    if (next === undefined) throw new GantryError(codes[statusCode] ?? "system", `failed to GET ${text} with status ${statusCode} ${statusMessage}: ${await beginningOf(response)}`);
    response.destroy();
    url = URL.parse(next, url) ?? url;
  }
  throw systemError(`Get ${JSON.stringify(text)}: stopped after ${mostRedirects} redirects`);
}

/** What a server says of its refusal. */
async function beginningOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response) {
      chunks.push(chunk as Buffer);
      bytes += (chunk as Buffer).length;
      if (bytes >= mostMessageBytes) break;
    }
  } catch {
    /* The status is known. */
  }
  return Buffer.concat(chunks).toString().slice(0, mostMessageBytes).trim();
}

async function get(url: URL, signal: AbortSignal): Promise<IncomingMessage> {
  if (url.protocol !== "http:" && url.protocol !== "https:") throw systemError(`Get ${JSON.stringify(url.href)}: unsupported protocol scheme ${JSON.stringify(url.protocol.slice(0, -1))}`);
  const client = url.protocol === "http:" ? process.getBuiltinModule("node:http") : process.getBuiltinModule("node:https");
  return new Promise((resolve, reject) => {
    client.get(url, { signal }, resolve).once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOTFOUND") return reject(new GantryError("not-found", `Get ${JSON.stringify(url.href)}: dial tcp: lookup ${url.hostname}: no such host`, { cause: error }));
      const refused = error.code === "ECONNREFUSED" ? `dial tcp ${url.host}: connect: connection refused` : messageOf(error);
      reject(systemError(`Get ${JSON.stringify(url.href)}: ${refused}`, error));
    });
  });
}
