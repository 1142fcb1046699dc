/**
 * Requests to one repository's endpoints: authorized, redirected, and sent again where that may help.
 *
 *   send() ─▶ 401: with what the registry asked for             ─▶ 3xx: where it points to; other origins see no secrets
 *          ─▶ 408, 429, 500, 502, 503, 504, broken connection: after a pause (Retry-After), a few times
 */
import { setTimeout as pause } from "node:timers/promises";
import { GantryError, systemError } from "../lib/errors.ts";
import { AuthorizationFailed, type Authorizer } from "./auth/authorizer.ts";
import { type Endpoint, originOf } from "./hosts/endpoint.ts";
import type { HttpClient, HttpRequest, HttpResponse } from "./http/client.ts";
import { defaultTls } from "./http/tls-settings.ts";
import { isBroken, isPlainPeer, isRefusal } from "./http/connection-error.ts";

export interface SessionOptions {
  http: HttpClient;
  authorizer: Authorizer;
  userAgent: string;
  headers: Readonly<Record<string, string>>;
  /** Of the first pause; each further one is twice as long. */
  backoffMilliseconds: number;
}

export interface RegistryRequest {
  method: string;
  /** Below the endpoint's path, or a whole address (an upload's location). */
  target: string | URL;
  headers?: Record<string, string>;
  /** Made anew for each attempt. */
  body?: () => Uint8Array | AsyncIterable<Uint8Array>;
  scopes: readonly string[];
  /** As HttpRequest has it. */
  bulk?: boolean;
  /** Another endpoint will be asked when this one fails: not worth a pause. */
  hasAlternative?: boolean;
  signal?: AbortSignal | undefined;
}

const mostAttempts = 5;
const mostRedirects = 10;
const mostPauseMilliseconds = 30_000;
const passing = new Set([408, 429, 500, 502, 503, 504]);
const redirects = new Set([301, 302, 303, 307, 308]);

export class Session {
  readonly #options: SessionOptions;
  /** Hosts that were found to speak plain HTTP. */
  readonly #plain = new Set<string>();

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** Any status but a redirect is an answer. Throws what HttpClient.send throws, and AuthorizationFailed. */
  async send(endpoint: Endpoint, request: RegistryRequest): Promise<HttpResponse> {
    for (let attempt = 1; ; attempt++) {
      const last = attempt === mostAttempts || request.hasAlternative === true;
      let wait = this.backoff(attempt);
      try {
        const response = await this.#authorized(endpoint, request);
        if (!passing.has(response.status) || last) return response;
        const asked = retryAfter(response);
        if (asked !== undefined && asked > mostPauseMilliseconds) return response;
        response.discard();
        wait = asked ?? wait;
      } catch (error) {
        if (last || !isBroken(error) || request.signal?.aborted === true) throw error;
      }
      await this.sleep(wait, request.signal);
    }
  }

  /** Fetches from an address that no registry answers for: as anybody, and once. */
  async sendElsewhere(url: URL, { headers, signal }: { headers: Record<string, string>; signal: AbortSignal | undefined }): Promise<HttpResponse> {
    const sent: HttpRequest = { method: "GET", url, headers: { "user-agent": this.#options.userAgent, "accept-encoding": "identity", ...headers }, tls: defaultTls, signal };
    return this.#followed(sent, await this.#options.http.send(sent), undefined);
  }

  backoff(attempt: number): number {
    return Math.min(this.#options.backoffMilliseconds * 2 ** (attempt - 1), mostPauseMilliseconds) * (0.75 + Math.random() / 4);
  }

  async sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
    try {
      await pause(milliseconds, undefined, signal ? { signal } : {});
    } catch (cause) {
      throw new GantryError("cancelled", "context canceled", { cause });
    }
  }

  /** The endpoint as it was found to be. */
  actual(endpoint: Endpoint): Endpoint {
    return this.#plain.has(endpoint.host) && endpoint.plainFallback ? { ...endpoint, scheme: "http" } : endpoint;
  }

  async #authorized(configured: Endpoint, request: RegistryRequest): Promise<HttpResponse> {
    const { authorizer } = this.#options;
    const { scopes, signal } = request;
    for (let refused = 0; ; ) {
      const endpoint = this.actual(configured);
      const authorization = await authorizer.authorize(endpoint, scopes, signal);
      const answered = await this.#redirected(configured, request, authorization);
      if (answered === undefined) continue;
      const { response, away } = answered;
      /* The question of another origin is not this registry's. */
      if (response.status !== 401 || away) return response;
      if (authorization !== undefined) refused++;
      if (!authorizer.answerChallenge(endpoint, response, { scopes, refused })) return response;
      response.discard();
    }
  }

  async #redirected(configured: Endpoint, request: RegistryRequest, authorization: string | undefined): Promise<{ response: HttpResponse; away: boolean } | undefined> {
    const sent = this.#requestFor(this.actual(configured), request, authorization);
    const first = await this.#first(configured, request, sent);
    if (first === undefined) return undefined;
    const response = await this.#followed(sent, first, request.body);
    return { response, away: response.url.origin !== first.url.origin };
  }

  async #followed(original: HttpRequest, first: HttpResponse, body: RegistryRequest["body"]): Promise<HttpResponse> {
    const home = first.url.origin;
    let sent = { ...original, url: first.url };
    let response = first;
    for (let hops = 0; redirects.has(response.status) && response.headers.location !== undefined; hops++) {
      response.discard();
      if (hops === mostRedirects) throw systemError(`stopped after ${mostRedirects} redirects at ${response.url.origin}`);
      sent = redirectedRequest(sent, response, { home, body });
      response = await this.#options.http.send(sent);
    }
    return response;
  }

  /** Undefined: the endpoint turned out to speak plain HTTP, which may need another authorization. */
  async #first(configured: Endpoint, request: RegistryRequest, sent: HttpRequest): Promise<HttpResponse | undefined> {
    try {
      return await this.#options.http.send(sent);
    } catch (error) {
      const may = configured.plainFallback && sent.url.protocol === "https:" && typeof request.target === "string";
      if (!may || !(isPlainPeer(error) || (isRefusal(error) && !/:\d+$/.test(configured.host)))) throw error;
      this.#plain.add(configured.host);
      return undefined;
    }
  }

  #requestFor(endpoint: Endpoint, request: RegistryRequest, authorization: string | undefined): HttpRequest {
    const { method, target, signal, body } = request;
    const url = typeof target === "string" ? new URL(`${originOf(endpoint)}${endpoint.path}${target}`) : target;
    const own = url.host === endpoint.host && url.protocol === `${endpoint.scheme}:`;
    const headers = { "user-agent": this.#options.userAgent, "accept-encoding": "identity", ...this.#options.headers, ...(own ? endpoint.headers : {}), ...request.headers };
    return { method, url, headers: { ...headers, ...(own && authorization !== undefined ? { authorization } : {}) }, body: body?.(), bulk: request.bulk, tls: own ? endpoint.tls : withoutClient(endpoint), signal, dialMilliseconds: endpoint.dialMilliseconds };
  }
}

/** Trusts the same, but does not show who asks. */
const withoutClient = ({ tls }: Endpoint): Endpoint["tls"] => (tls.clientPairs.length === 0 ? tls : { ...tls, clientPairs: [] });

function redirectedRequest(sent: HttpRequest, response: HttpResponse, { home, body }: { home: string; body: RegistryRequest["body"] }): HttpRequest {
  const url = URL.parse(response.headers.location ?? "", sent.url);
  if (!url || (url.protocol !== "https:" && url.protocol !== "http:")) throw systemError(`invalid redirect of ${sent.url.origin}`);
  const away = url.origin !== home;
  const secrets = new Set(["authorization", "cookie"]);
  /* Only what every server understands leaves the registry; its own headers may be secrets, too. */
  const passed = new Set(["user-agent", "accept", "accept-encoding", "range", "content-type", "content-length"]);
  const headers = Object.fromEntries(Object.entries(sent.headers).filter(([name]) => !away || (passed.has(name) && !secrets.has(name))));
  const changes = response.status === 303 || ((response.status === 301 || response.status === 302) && sent.method === "POST");
  const { body: _, ...rest } = sent;
  const tls = away ? { ...sent.tls, clientPairs: [] } : sent.tls;
  if (changes && sent.method !== "HEAD") return { ...rest, method: "GET", url, headers, tls };
  return { ...rest, url, headers, tls, ...(body ? { body: body() } : {}) };
}

function retryAfter({ headers }: HttpResponse): number | undefined {
  const text = headers["retry-after"];
  if (text === undefined) return undefined;
  const milliseconds = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(milliseconds) ? undefined : Math.max(0, milliseconds);
}

/** Whether an error is about credentials. */
export const isAuthorizationFailure = (error: unknown): error is AuthorizationFailed => error instanceof AuthorizationFailed;
