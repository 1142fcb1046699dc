/**
 * Uploads (distribution-spec, "Pushing"):
 *
 *   HEAD blob ─▶ there
 *   POST uploads/?mount&from ─▶ mounted, or an upload begins
 *   PATCH location: bytes from where the registry is ─▶ again after a broken connection (GET location tells where that is)
 *   PUT location?digest ─▶ done; with the bytes when they are few, instead of the PATCH
 */
import type { BlobUpload, PushedBlob, RemoteManifest, UploadOptions } from "../core/registry.ts";
import { codeOf, GantryError, messageOf, systemError } from "../lib/errors.ts";
import type { Endpoint } from "./hosts/endpoint.ts";
import { type HttpResponse, readBody } from "./http/client.ts";
import { isBroken } from "./http/connection-error.ts";
import { isAuthorizationFailure, type RegistryRequest, type Session } from "./session.ts";
import { answeredError, statusError } from "./status-error.ts";

export interface PushTarget {
  pushEndpoint(): Promise<Endpoint>;
  path(rest: string, endpoint: Endpoint): string;
  scopes(actions: "pull" | "pull,push", mountFrom?: string): string[];
  hasBlob: (digest: BlobUpload["digest"], options: { signal?: AbortSignal | undefined }) => Promise<boolean>;
}

const mostAttempts = 5;
/** Sent with the PUT: one request less. */
const mostAtOnce = 64 << 10;

export async function putManifest(target: PushTarget, session: Session, { reference, manifest, signal }: { reference: string; manifest: RemoteManifest; signal: AbortSignal | undefined }): Promise<void> {
  const endpoint = await target.pushEndpoint();
  const { mediaType, bytes } = manifest;
  const response = await allowed(session, endpoint, { method: "PUT", target: target.path(`/manifests/${reference}`, endpoint), headers: { "content-type": mediaType }, body: () => bytes, scopes: target.scopes("pull,push"), signal });
  if (response.status >= 300) throw await statusError(response);
  response.discard();
  const told = response.headers["docker-content-digest"];
  if (told !== undefined && told !== manifest.digest) throw systemError(`got digest ${String(told)}, expected ${manifest.digest}`);
}

export async function pushBlob(target: PushTarget, session: Session, { blob, options }: { blob: BlobUpload; options: UploadOptions }): Promise<PushedBlob> {
  const { signal } = options;
  if (await exists(target, blob, signal)) return { how: "exists" };
  const endpoint = await target.pushEndpoint();
  const begun = await begin({ target, session, endpoint }, blob, signal);
  if ("from" in begun) return { how: "mounted", from: begun.from };
  await new Upload({ target, session, endpoint }, blob, options).run(begun.location);
  return { how: "uploaded" };
}

/** Who may push may not always look: the upload will tell. */
async function exists(target: PushTarget, blob: BlobUpload, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    return await target.hasBlob(blob.digest, { signal });
  } catch (error) {
    if (isAuthorizationFailure(error)) return false;
    throw error;
  }
}

interface Connection {
  target: PushTarget;
  session: Session;
  endpoint: Endpoint;
}

async function begin({ target, session, endpoint }: Connection, blob: BlobUpload, signal: AbortSignal | undefined): Promise<{ from: string } | { location: URL }> {
  for (const from of blob.mountFrom ?? []) {
    const path = target.path(`/blobs/uploads/?mount=${encodeURIComponent(blob.digest)}&from=${encodeURIComponent(from)}`, endpoint);
    const response = await session.send(endpoint, { method: "POST", target: path, scopes: target.scopes("pull,push", from), signal }).catch((error: unknown) => {
      if (isAuthorizationFailure(error)) return undefined;
      throw error;
    });
    if (response === undefined) continue;
    if (response.status === 201) {
      response.discard();
      return { from };
    }
    /* Not mounted: an upload has begun instead. */
    if (response.status === 202) return { location: locationOf(response) };
    response.discard();
  }
  const response = await allowed(session, endpoint, { method: "POST", target: target.path("/blobs/uploads/", endpoint), scopes: target.scopes("pull,push"), signal });
  if (response.status !== 202 && response.status !== 200 && response.status !== 204) throw await statusError(response);
  return { location: locationOf(response) };
}

/** Where to go on; its bytes are given up. */
function locationOf(response: HttpResponse): URL {
  response.discard();
  const url = URL.parse(response.headers.location ?? "", response.url);
  if (response.headers.location === undefined || !url || (url.protocol !== "http:" && url.protocol !== "https:")) throw systemError(`unable to parse location ${JSON.stringify(response.headers.location ?? "")}`);
  return url;
}

/** One blob's bytes on their way. */
class Upload {
  readonly #connection: Connection;
  readonly #blob: BlobUpload;
  readonly #options: UploadOptions;

  constructor(connection: Connection, blob: BlobUpload, options: UploadOptions) {
    this.#connection = connection;
    this.#blob = blob;
    this.#options = options;
  }

  async run(begun: URL): Promise<void> {
    let location = begun;
    let offset = 0;
    for (let failures = 0; ; ) {
      const before = offset;
      try {
        const atOnce = offset === 0 && this.#blob.size <= mostAtOnce;
        if (offset < this.#blob.size && !atOnce) location = await this.#patch(location, offset);
        offset = this.#blob.size;
        await this.#finish(location, atOnce);
        return;
      } catch (error) {
        if (!isBroken(error) && !(error instanceof Interrupted)) throw error;
        if (this.#options.signal?.aborted === true) throw error;
        const at = await this.#continued(location);
        /* It may have been the last answer alone that was lost. */
        if (!at && (await exists(this.#connection.target, this.#blob, this.#options.signal))) return;
        ({ location, offset } = at ?? (await this.#restarted()));
        failures = offset > before ? 1 : failures + 1;
        if (failures >= mostAttempts) throw systemError(`failed to upload ${this.#blob.digest}: ${messageOf(error)}`, error);
        await this.#pause(failures);
      }
    }
  }

  async #patch(location: URL, offset: number): Promise<URL> {
    const { size, open } = this.#blob;
    const length = size - offset;
    const headers = { "content-type": "application/octet-stream", "content-length": String(length), ...(offset === 0 ? {} : { "content-range": `${offset}-${size - 1}` }) };
    const response = await this.#send({ method: "PATCH", target: location, headers, body: () => this.#counted(open(offset), offset) });
    if (response.status >= 300) throw await failed(response);
    return locationOf(response);
  }

  async #finish(location: URL, withBytes: boolean): Promise<void> {
    const target = new URL(location);
    target.searchParams.set("digest", this.#blob.digest);
    const { size, open } = this.#blob;
    const headers = { "content-type": "application/octet-stream", ...(withBytes ? { "content-length": String(size) } : {}) };
    const response = await this.#send({ method: "PUT", target, headers, body: () => (withBytes ? this.#counted(open(0), 0) : new Uint8Array()) });
    if (response.status >= 300) throw await failed(response);
    response.discard();
  }

  /** How far the registry is, when it knows. */
  async #continued(location: URL): Promise<{ location: URL; offset: number } | undefined> {
    try {
      const response = await this.#send({ method: "GET", target: location });
      const range = /^(?:bytes=)?0-(\d+)$/.exec(String(response.headers["range"] ?? ""));
      if (response.status !== 204 && response.status !== 202) {
        response.discard();
        return undefined;
      }
      /* "0-0" is what registries say of nothing and of one byte. */
      const got = range ? Number(range[1]) : 0;
      const next = response.headers.location === undefined ? location : locationOf(response);
      response.discard();
      return { location: next, offset: got === 0 ? 0 : Math.min(got + 1, this.#blob.size) };
    } catch (error) {
      if (codeOf(error) === "cancelled") throw error;
      return undefined;
    }
  }

  async #restarted(): Promise<{ location: URL; offset: number }> {
    const begun = await begin(this.#connection, { ...this.#blob, mountFrom: [] }, this.#options.signal);
    if ("from" in begun) throw systemError("a blob was mounted that was not asked for");
    return { location: begun.location, offset: 0 };
  }

  async *#counted(bytes: AsyncIterable<Uint8Array>, offset: number): AsyncGenerator<Uint8Array> {
    let sent = offset;
    for await (const chunk of bytes) {
      yield chunk;
      sent += chunk.length;
      this.#options.progress?.(sent);
    }
    if (sent !== this.#blob.size) throw new GantryError("data-loss", `blob ${this.#blob.digest} has ${sent} bytes here, not ${this.#blob.size}`);
  }

  #send(request: Pick<RegistryRequest, "method" | "target" | "headers" | "body">): Promise<HttpResponse> {
    const { session, endpoint, target } = this.#connection;
    /* A repetition must begin where the registry is, which only run() finds out. */
    return session.send(endpoint, { ...request, scopes: target.scopes("pull,push"), signal: this.#options.signal, hasAlternative: request.method !== "GET" });
  }

  async #pause(failures: number): Promise<void> {
    const { session } = this.#connection;
    const milliseconds = session.backoff(failures);
    this.#options.retrying?.(Math.ceil(milliseconds / 1000));
    await session.sleep(milliseconds, this.#options.signal);
  }
}

/** An answer after which an upload may be continued. */
class Interrupted extends Error {}

const passing = new Set([408, 416, 429, 500, 502, 503, 504]);

async function failed(response: HttpResponse): Promise<Error> {
  const body = await readBody(response, 64_000).catch(() => Buffer.alloc(0));
  const error = answeredError(response, body);
  return passing.has(response.status) ? new Interrupted(error.message, { cause: error }) : error;
}

/** A refusal here means that this user may not push. */
async function allowed(session: Session, endpoint: Endpoint, request: RegistryRequest): Promise<HttpResponse> {
  try {
    return await session.send(endpoint, request);
  } catch (error) {
    if (isAuthorizationFailure(error)) throw systemError(`push access denied, repository does not exist or may require authorization: ${error.message}`, error);
    throw error;
  }
}

