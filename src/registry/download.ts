/** A blob's bytes, over as many connections as it takes. */
import type { BlobSink, BlobSource, DownloadOptions } from "../core/registry.ts";
import type { AnswerBody } from "../lib/connection-body.ts";
import { codeOf, GantryError, messageOf, systemError } from "../lib/errors.ts";
import type { HttpResponse } from "./http/client.ts";
import { connectionError } from "./http/connection-error.ts";

export interface Download {
  /** A successful answer to a request from an offset on; throws what is final. */
  open: (offset: number) => Promise<HttpResponse>;
  mostAttempts: number;
  /** Milliseconds before the next attempt. */
  backoff: (attempt: number) => number;
  sleep: (milliseconds: number) => Promise<void>;
}

export async function* download(blob: BlobSource, { open, mostAttempts, backoff, sleep }: Download, options: DownloadOptions): AsyncGenerator<Uint8Array, void> {
  const at: Progress = { position: options.offset ?? 0, failures: 0 };
  while (at.position < blob.size) {
    const response = await open(at.position);
    const body = options.into && bodyOf(blob, response, at);
    const broken: unknown = options.into && body ? await received(options.into, body, { blob, response, at }) : yield* pieces(blob, response, at);
    if (at.position === blob.size) return;
    at.failures++;
    if (at.failures >= mostAttempts) throw systemError(`failed to download ${blob.digest}: ${broken === undefined ? "unexpected EOF" : messageOf(broken)}`, broken);
    const milliseconds = backoff(at.failures);
    options.retrying?.(Math.ceil(milliseconds / 1000));
    await sleep(milliseconds);
  }
}

interface Progress {
  position: number;
  /** Attempts since the last byte. */
  failures: number;
}

/** Gives what broke the connection. */
async function* pieces(blob: BlobSource, response: HttpResponse, at: Progress): AsyncGenerator<Uint8Array, unknown> {
  try {
    for await (const chunk of wanted(blob, response, at.position)) {
      at.failures = 0;
      at.position += chunk.length;
      yield chunk;
    }
  } catch (error) {
    if (codeOf(error) === "data-loss" || codeOf(error) === "cancelled") throw error;
    return error;
  }
  return undefined;
}

/** The body, when it can be taken off its connection as it is. */
function bodyOf(blob: BlobSource, response: HttpResponse, { position }: Progress): AnswerBody | undefined {
  const { headers } = response;
  const length = Number(headers["content-length"] ?? Number.NaN);
  if (headers["transfer-encoding"] !== undefined || !(length > 0) || length > blob.size - position || startOf(response, position) !== position) return undefined;
  return response.leave?.(length);
}

async function received(into: BlobSink, body: AnswerBody, { blob, response, at }: { blob: BlobSource; response: HttpResponse; at: Progress }): Promise<unknown> {
  const began = at.position;
  try {
    const broken = await into.receive(body);
    at.position = into.offset;
    if (at.position > began) at.failures = 0;
    if (broken === undefined && began === 0 && at.position < blob.size) throw sizeError(blob, at.position);
    const error = broken && connectionError(broken, response);
    if (codeOf(error) === "cancelled") throw error;
    return error;
  } finally {
    response.discard();
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
