/** One repository of a registry: what is read of it. Writing is in push.ts. */
import type { BlobSource, BlobUpload, Cancel, DownloadOptions, PushedBlob, RemoteManifest, Repository, UploadOptions } from "../core/registry.ts";
import { type Digest, digestOf, isDigest, parseDigest } from "../lib/digest.ts";
import { codeOf, GantryError, invalidParameter, messageOf, notFound } from "../lib/errors.ts";
import { type Descriptor, mediaTypes, mostManifestBytes } from "../lib/oci-image.ts";
import { canonicalName, familiarRepository, type Reference, repositoryOf } from "../lib/reference.ts";
import { download } from "./download.ts";
import type { Capability, Endpoint } from "./hosts/endpoint.ts";
import { HUB } from "./hosts/hosts.ts";
import { type HttpResponse, readBody } from "./http/client.ts";
import { pushBlob, putManifest } from "./push.ts";
import { isAuthorizationFailure, type RegistryRequest, type Session } from "./session.ts";
import { listedError, statusError } from "./status-error.ts";

export interface RepositoryParts {
  reference: Reference;
  session: Session;
  endpoints: () => Promise<Endpoint[]>;
  mostDownloadAttempts: number;
}

export const schema1 = "application/vnd.docker.distribution.manifest.v1+json";
const accepted = [mediaTypes.dockerManifest, mediaTypes.dockerIndex, mediaTypes.ociManifest, mediaTypes.ociIndex, "*/*"].join(", ");
const mostTagBytes = 4 << 20;
/** From here on a connection of its own pays. */
const bulkBytes = 1 << 20;
const mostTagPages = 10_000;
/** Of all pages together. */
const mostTagsBytes = 32 << 20;

/** What failed at an endpoint; later kinds say more. */
type Failure = { rank: 1 | 2 | 3; error: unknown };

export class RemoteRepository implements Repository {
  readonly #parts: RepositoryParts;
  #endpoints: Promise<Endpoint[]> | undefined;

  constructor(parts: RepositoryParts) {
    this.#parts = parts;
  }

  async resolve(reference: string, { signal }: Cancel = {}): Promise<Descriptor> {
    const name = this.#nameOf(reference);
    const prefix = `failed to resolve reference ${JSON.stringify(name)}: `;
    const path = `/manifests/${checked(reference)}`;
    const needed: Capability[] = isDigest(reference) ? ["pull"] : ["pull", "resolve"];
    const missing = notFound(`${prefix}${name}: not found`);
    return this.#pull(needed, { prefix, missing }, async (endpoint, hasAlternative) => {
      const request: RegistryRequest = { method: "HEAD", target: this.path(path, endpoint), headers: { accept: accepted }, scopes: this.scopes("pull"), signal, hasAlternative };
      let response = await this.#parts.session.send(endpoint, request);
      response.discard();
      const known = isDigest(reference) ? reference : String(response.headers["docker-content-digest"] ?? "");
      const size = Number(response.headers["content-length"] ?? Number.NaN);
      /* No HEAD, or one that tells too little. */
      const getting = response.status === 405 || (response.status < 300 && (known === "" || !(size > 0))) || response.status === 403;
      if (getting) response = await this.#parts.session.send(endpoint, { ...request, method: "GET" });
      if (response.status >= 300) return response;
      if (getting) {
        const { mediaType, digest, bytes } = await readManifestBody(response, reference);
        return { mediaType, digest, size: bytes.length };
      }
      if (size > mostManifestBytes) throw notFound(`rejecting ${size} byte manifest for ${name}: not found`);
      return { mediaType: mediaTypeOf(response), digest: parseDigest(known), size };
    });
  }

  async manifest(reference: string, { signal }: Cancel = {}): Promise<RemoteManifest> {
    const name = this.#nameOf(reference);
    const needed: Capability[] = isDigest(reference) ? ["pull"] : ["pull", "resolve"];
    const missing = notFound(isDigest(reference) ? `could not fetch content descriptor ${reference} from remote: not found` : `failed to resolve reference ${JSON.stringify(name)}: ${name}: not found`);
    return this.#pull(needed, { prefix: "", missing }, async (endpoint, hasAlternative) => {
      const target = this.path(`/manifests/${checked(reference)}`, endpoint);
      const response = await this.#parts.session.send(endpoint, { method: "GET", target, headers: { accept: accepted }, scopes: this.scopes("pull"), signal, hasAlternative });
      return response.status >= 300 ? response : readManifestBody(response, reference);
    });
  }

  openBlob(blob: BlobSource, options: DownloadOptions = {}): AsyncIterable<Uint8Array> {
    const { session, mostDownloadAttempts } = this.#parts;
    const { signal } = options;
    return download(blob, { open: (offset) => this.#openAt(blob, offset, signal), mostAttempts: mostDownloadAttempts, backoff: (attempt) => session.backoff(attempt), sleep: (milliseconds) => session.sleep(milliseconds, signal) }, options);
  }

  async tags({ signal }: Cancel = {}): Promise<string[]> {
    return this.#pull(["pull", "resolve"], { prefix: "", missing: undefined }, async (endpoint, hasAlternative) => {
      const tags: string[] = [];
      let left = mostTagsBytes;
      let target: string | URL = this.path("/tags/list", endpoint);
      for (let page = 0; page < mostTagPages && left > 0; page++) {
        const response: HttpResponse = await this.#parts.session.send(endpoint, { method: "GET", target, headers: { accept: "application/json" }, scopes: this.scopes("pull"), signal, hasAlternative });
        const body = await readBody(response, mostTagBytes);
        if (response.status >= 300) throw listedError(response, body);
        left -= body.length;
        const answer = parseJson(body) as { tags?: unknown } | null;
        if (Array.isArray(answer?.tags)) tags.push(...(answer.tags as unknown[]).filter((tag) => typeof tag === "string"));
        const next = /<([^>]*)>\s*;\s*rel="?next"?/.exec(String(response.headers["link"] ?? ""))?.[1];
        const url = next === undefined ? undefined : URL.parse(next, response.url);
        if (!url) return tags;
        if (url.origin !== response.url.origin) throw invalidParameter(`the list of tags of ${repositoryOf(this.#parts.reference)} continues at another origin, ${url.origin}`);
        target = url;
      }
      throw invalidParameter(`the list of tags of ${repositoryOf(this.#parts.reference)} does not end`);
    });
  }

  async hasManifest(reference: string, digest: Digest, { signal }: Cancel = {}): Promise<boolean> {
    const endpoint = await this.pushEndpoint();
    const response = await this.#parts.session.send(endpoint, { method: "HEAD", target: this.path(`/manifests/${checked(reference)}`, endpoint), headers: { accept: accepted }, scopes: this.scopes("pull,push"), signal });
    response.discard();
    return this.#exists(response, response.headers["docker-content-digest"] === digest || reference === digest);
  }

  async hasBlob(digest: Digest, { signal }: Cancel = {}): Promise<boolean> {
    const endpoint = await this.pushEndpoint();
    const response = await this.#parts.session.send(endpoint, { method: "HEAD", target: this.path(`/blobs/${digest}`, endpoint), scopes: this.scopes("pull,push"), signal });
    response.discard();
    return this.#exists(response, true);
  }

  pushBlob(blob: BlobUpload, options: UploadOptions = {}): Promise<PushedBlob> {
    return pushBlob(this, this.#parts.session, { blob, options });
  }

  putManifest(reference: string, manifest: RemoteManifest, { signal }: Cancel = {}): Promise<void> {
    return putManifest(this, this.#parts.session, { reference: checked(reference), manifest, signal });
  }

  /** The first endpoint that can be pushed to. */
  async pushEndpoint(): Promise<Endpoint> {
    const endpoint = (await this.#all()).find(({ capabilities }) => capabilities.has("push"));
    if (!endpoint) throw notFound("no push hosts: not found");
    return endpoint;
  }

  /** Mirrors of several registries are told which one is meant. */
  path(rest: string, endpoint: Endpoint): string {
    const { domain, path } = this.#parts.reference;
    const own = endpoint.host === domain || domain === HUB;
    return `/${path}${rest}${own ? "" : `${rest.includes("?") ? "&" : "?"}ns=${encodeURIComponent(domain)}`}`;
  }

  scopes(actions: "pull" | "pull,push", mountFrom?: string): string[] {
    return [`repository:${this.#parts.reference.path}:${actions}`, ...(mountFrom === undefined ? [] : [`repository:${mountFrom}:pull`])];
  }

  async #exists(response: HttpResponse, same: boolean): Promise<boolean> {
    if (response.status === 200) return same;
    if (response.status === 404) return false;
    throw await statusError(response);
  }

  async #openAt(blob: BlobSource, offset: number, signal: AbortSignal | undefined): Promise<HttpResponse> {
    const headers: Record<string, string> = { accept: "application/octet-stream, */*", ...(offset === 0 ? {} : { range: `bytes=${offset}-` }) };
    for (const url of blob.urls ?? []) {
      const response = await this.#openElsewhere(url, headers, signal);
      if (response) return response;
    }
    const missing = notFound(`could not fetch content descriptor ${blob.digest} from remote: not found`);
    return this.#pull(["pull"], { prefix: "", missing }, async (endpoint, hasAlternative) => {
      const request: RegistryRequest = { method: "GET", target: this.path(`/blobs/${blob.digest}`, endpoint), headers, scopes: this.scopes("pull"), signal, hasAlternative, bulk: blob.size - offset >= bulkBytes };
      const response = await this.#parts.session.send(endpoint, request);
      /* It cannot begin there: from the beginning, then. */
      if (response.status === 416 && offset > 0) {
        response.discard();
        return { done: await this.#parts.session.send(endpoint, { ...request, headers: { accept: "*/*" } }) };
      }
      return response.status >= 300 ? response : { done: response };
    }).then(({ done }) => done);
  }

  /** Of an address in the image, which anybody may have written: no secrets go there. */
  async #openElsewhere(text: string, headers: Record<string, string>, signal: AbortSignal | undefined): Promise<HttpResponse | undefined> {
    const url = URL.parse(text);
    if (!url || (url.protocol !== "https:" && url.protocol !== "http:")) return undefined;
    const response = await this.#parts.session.sendElsewhere(url, { headers, signal }).catch((error: unknown) => {
      if (codeOf(error) === "cancelled") throw error;
      return undefined;
    });
    if (response && response.status < 300) return response;
    response?.discard();
    return undefined;
  }

  /** Asks the endpoints until one answers well. An answer of status 300 and more may be returned as it is. */
  async #pull<T extends object>(needed: readonly Capability[], told: { prefix: string; missing: GantryError | undefined }, ask: (endpoint: Endpoint, hasAlternative: boolean) => Promise<T | HttpResponse>): Promise<T> {
    const endpoints = (await this.#all()).filter(({ capabilities }) => needed.every((capability) => capabilities.has(capability)));
    if (endpoints.length === 0) throw notFound(`${told.prefix}no pull hosts: not found`);
    let failure: Failure | undefined;
    for (const [index, endpoint] of endpoints.entries()) {
      const next = await attempt(() => ask(endpoint, index < endpoints.length - 1), told);
      if ("result" in next) return next.result;
      if (!failure || next.rank > failure.rank) failure = next;
    }
    throw this.#translated(failure?.error, told.prefix);
  }

  #translated(error: unknown, prefix: string): unknown {
    if (isAuthorizationFailure(error)) {
      if (error.anonymous) return new GantryError("system", `${prefix}pull access denied, repository does not exist or may require authorization: ${error.message}`);
      return notFound(`pull access denied for ${familiarRepository(this.#parts.reference)}, repository does not exist or may require 'docker login'`);
    }
    return error;
  }

  #nameOf(reference: string): string {
    const { domain, path } = this.#parts.reference;
    return canonicalName({ domain, path, ...(isDigest(reference) ? { digest: reference } : { tag: reference }) });
  }

  async #all(): Promise<Endpoint[]> {
    this.#endpoints ??= this.#parts.endpoints();
    return this.#endpoints;
  }
}

const isResponse = (value: object): value is HttpResponse => "statusLine" in value;

async function attempt<T extends object>(ask: () => Promise<T | HttpResponse>, { prefix, missing }: { prefix: string; missing: GantryError | undefined }): Promise<Failure | { result: T }> {
  try {
    const answer = await ask();
    if (!isResponse(answer)) return { result: answer };
    if (answer.status === 404 && missing) {
      answer.discard();
      return { rank: 2, error: missing };
    }
    return { rank: 3, error: await statusError(answer, prefix) };
  } catch (error) {
    if (codeOf(error) === "cancelled") throw error;
    const isPlain = error instanceof GantryError && codeOf(error) === "system" && prefix !== "" && !error.message.startsWith("unknown: ");
    return { rank: codeOf(error) === "system" ? 1 : 3, error: isPlain ? new GantryError("system", `${prefix}failed to do request: ${error.message}`, { cause: error }) : error };
  }
}

function checked(reference: string): string {
  if (isDigest(reference) || /^\w[\w.-]{0,127}$/.test(reference)) return reference;
  throw invalidParameter("invalid tag format");
}

function mediaTypeOf({ headers }: HttpResponse): string {
  const type = (headers["content-type"] ?? "").split(";")[0]?.trim() ?? "";
  /* Some registries that only have schema 1 name no type. */
  return type === "text/plain" ? schema1 : type;
}

async function readManifestBody(response: HttpResponse, reference: string): Promise<RemoteManifest> {
  const bytes = await readBody(response, mostManifestBytes);
  const digest = digestOf(bytes);
  const told = isDigest(reference) ? reference : response.headers["docker-content-digest"];
  if (told !== undefined && told !== digest) throw new GantryError("data-loss", `manifest verification failed for digest ${String(told)}`);
  return { mediaType: mediaTypeOf(response), digest, bytes };
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch (cause) {
    throw new GantryError("system", `invalid answer of the registry: ${messageOf(cause)}`, { cause });
  }
}
