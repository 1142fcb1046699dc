/** A blob's bytes, over as many connections as it takes. */
import type { BlobSource, DownloadOptions } from "../core/registry.ts";
import { codeOf, GantryError, messageOf, systemError } from "../lib/errors.ts";
import type { HttpResponse } from "./http/client.ts";

export interface Download {
  /** A successful answer to a request from an offset on; throws what is final. */
  open: (offset: number) => Promise<HttpResponse>;
  mostAttempts: number;
  /** Milliseconds before the next attempt. */
  backoff: (attempt: number) => number;
  sleep: (milliseconds: number) => Promise<void>;
}

export async function* download(blob: BlobSource, { open, mostAttempts, backoff, sleep }: Download, options: DownloadOptions): AsyncGenerator<Uint8Array, void> {
  let position = options.offset ?? 0;
  for (let failures = 0; position < blob.size; ) {
    const response = await open(position);
    let broken: unknown;
    try {
      for await (const chunk of wanted(blob, response, position)) {
        failures = 0;
        position += chunk.length;
        yield chunk;
      }
    } catch (error) {
      if (codeOf(error) === "data-loss" || codeOf(error) === "cancelled") throw error;
      broken = error;
    }
    if (position === blob.size) return;
    failures++;
    if (failures >= mostAttempts) throw systemError(`failed to download ${blob.digest}: ${broken === undefined ? "unexpected EOF" : messageOf(broken)}`, broken);
    const milliseconds = backoff(failures);
    options.retrying?.(Math.ceil(milliseconds / 1000));
    await sleep(milliseconds);
  }
}

/** The bytes from a position on, of an answer that may have ignored the wish to begin there. */
async function* wanted(blob: BlobSource, response: HttpResponse, position: number): AsyncGenerator<Uint8Array, void> {
  const start = startOf(response, position);
  let skip = position - start;
  let left = blob.size - position;
  const length = Number(response.headers["content-length"] ?? Number.NaN);
  if (length > blob.size - start) throw sizeError(blob, start + length);
  for await (const chunk of response.body) {
    const dropped = Math.min(skip, chunk.length);
    skip -= dropped;
    if (dropped === chunk.length) continue;
    const rest = dropped === 0 ? chunk : chunk.subarray(dropped);
    if (rest.length > left) throw sizeError(blob);
    left -= rest.length;
    yield rest;
  }
  /* An answer that was whole and too short stays so. */
  if (left > 0 && start === 0 && (length < blob.size || response.headers["transfer-encoding"] === "chunked")) throw sizeError(blob, blob.size - left);
}

const sizeError = (blob: BlobSource, got?: number): GantryError =>
  new GantryError("data-loss", `blob ${blob.digest} has ${got === undefined ? "more" : `${got} bytes, not`} ${got === undefined ? `bytes than ${blob.size}` : blob.size}`);

function startOf({ status, headers }: HttpResponse, position: number): number {
  if (status !== 206) return 0;
  const match = /^bytes (\d+)-/.exec(headers["content-range"] ?? "");
  const start = match ? Number(match[1]) : position;
  if (start > position) throw new GantryError("data-loss", `unhandled content range in response: ${headers["content-range"]}`);
  return start;
}
