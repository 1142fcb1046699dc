/** An archive from an http or https address, for `docker import URL`. */
import { invalidParameter, messageOf, systemError } from "../../lib/errors.ts";

/** "http://" is put before an address without a scheme. Throws what went wrong in Docker's words. */
export async function remoteBody(source: string, signal: AbortSignal, started: (url: string) => void): Promise<AsyncIterable<Uint8Array>> {
  const text = source.includes("://") ? source : `http://${source}`;
  if (text === "http://") throw systemError('Get "http:": http: no Host in request URL');
  const url = URL.parse(text);
  if (!url) throw invalidParameter(`parse ${JSON.stringify(text)}: invalid address`);
  if (url.protocol !== "http:" && url.protocol !== "https:") throw systemError(`Get ${JSON.stringify(text)}: unsupported protocol scheme ${JSON.stringify(url.protocol.slice(0, -1))}`);
  let response: Response;
  try {
    response = await fetch(url, { signal });
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    throw systemError(`Get ${JSON.stringify(text)}: ${messageOf(cause)}`, error);
  }
  if (!response.ok || !response.body) throw systemError(`failed to GET ${text} with status ${response.status} ${response.statusText}: ${(await response.text()).slice(0, 200)}`);
  started(url.href);
  return response.body;
}
