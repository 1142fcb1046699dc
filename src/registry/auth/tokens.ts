/**
 * Bearer tokens from a registry's token server (distribution's auth/token.md and auth/oauth.md): by POST with a password or refresh token,
 * by GET when the server does not know that or when there is nobody to say who. Tokens are kept until they expire, those of a user for this user only.
 */
import { systemError } from "../../lib/errors.ts";
import { type HttpClient, type HttpRequest, type HttpResponse, readBody } from "../http/client.ts";
import type { TlsSettings } from "../http/tls-settings.ts";
import { answeredError } from "../status-error.ts";

/** Who asks. Without a secret: anonymously; without a name, the secret is a refresh token. */
export interface Identity {
  username: string;
  secret: string;
}

export interface TokenRequest {
  realm: URL;
  service: string;
  scopes: readonly string[];
  identity: Identity;
  tls: TlsSettings;
  userAgent: string;
  signal?: AbortSignal | undefined;
  /** A refresh token is wanted, too; the way that all servers know is taken. */
  offline?: boolean;
}

export interface Token {
  token: string;
  refreshToken: string;
  /** Milliseconds since 1970. */
  expires: number;
}

const mostTokenBytes = 1 << 20;
const usualSeconds = 60;
/** Of a token's time, so that it does not expire on its way. */
const marginShare = 0.1;
const mostKept = 1000;
/** What servers say that do not know POST. */
const withoutPost = new Set([400, 401, 404, 405]);

export class Tokens {
  readonly #http: HttpClient;
  readonly #kept = new Map<string, Promise<Token>>();

  constructor(http: HttpClient) {
    this.#http = http;
  }

  /** Throws what the token server answered. Requests for the same at once are one. */
  async get(request: TokenRequest): Promise<string> {
    const key = keyOf(request);
    const known = await this.#kept.get(key)?.catch(() => undefined);
    if (known && known.expires > Date.now()) return known.token;
    const wanted = this.#kept.get(key);
    const fetched = wanted && !known ? wanted : this.fetch(request);
    this.#keep(key, fetched);
    try {
      return (await fetched).token;
    } catch (error) {
      if (this.#kept.get(key) === fetched) this.#kept.delete(key);
      throw error;
    }
  }

  /** The registry did not accept it. */
  forget(request: TokenRequest): void {
    this.#kept.delete(keyOf(request));
  }

  async fetch(request: TokenRequest): Promise<Token> {
    const { identity } = request;
    if (identity.secret === "") return this.#read(await this.#get(request), "failed to fetch anonymous token: ");
    if (request.offline && identity.username !== "") return this.#read(await this.#get(request), "");
    const posted = await this.#post(request);
    if (posted.status < 400) return this.#read(posted, "failed to fetch oauth token: ");
    const again = identity.username !== "" && withoutPost.has(posted.status);
    if (!again) return this.#read(posted, "failed to fetch oauth token: ");
    posted.discard();
    return this.#read(await this.#get(request), "failed to fetch oauth token: ");
  }

  #keep(key: string, token: Promise<Token>): void {
    this.#kept.delete(key);
    this.#kept.set(key, token);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > mostKept && oldest !== undefined) this.#kept.delete(oldest);
  }

  #post(request: TokenRequest): Promise<HttpResponse> {
    const { realm, service, scopes, identity, offline } = request;
    const form = new URLSearchParams();
    if (scopes.length > 0) form.set("scope", scopes.join(" "));
    form.set("service", service);
    form.set("client_id", "gantry");
    if (identity.username === "") {
      form.set("grant_type", "refresh_token");
      form.set("refresh_token", identity.secret);
    } else {
      form.set("grant_type", "password");
      form.set("username", identity.username);
      form.set("password", identity.secret);
    }
    if (offline) form.set("access_type", "offline");
    const body = Buffer.from(form.toString());
    return this.#http.send(httpRequest(request, { method: "POST", url: realm, body, headers: { "content-type": "application/x-www-form-urlencoded; charset=utf-8" } }));
  }

  #get(request: TokenRequest): Promise<HttpResponse> {
    const { realm, service, scopes, identity, offline } = request;
    const url = new URL(realm);
    if (service !== "") url.searchParams.append("service", service);
    for (const scope of scopes) url.searchParams.append("scope", scope);
    if (offline) url.searchParams.append("offline_token", "true");
    const headers: Record<string, string> = identity.secret === "" ? {} : { authorization: basic(identity) };
    return this.#http.send(httpRequest(request, { method: "GET", url, headers }));
  }

  async #read(response: HttpResponse, prefix: string): Promise<Token> {
    const bytes = await readBody(response, mostTokenBytes);
    if (response.status < 200 || response.status >= 400) throw answeredError(response, bytes, `failed to authorize: ${prefix}`);
    return readToken(bytes);
  }
}

export const basic = ({ username, secret }: Identity): string => `Basic ${Buffer.from(`${username}:${secret}`).toString("base64")}`;

function httpRequest({ tls, userAgent, signal }: TokenRequest, rest: Pick<HttpRequest, "method" | "url" | "headers" | "body">): HttpRequest {
  return { ...rest, headers: { ...rest.headers, "user-agent": userAgent, accept: "application/json" }, tls, signal };
}

function keyOf({ realm, service, scopes, identity }: TokenRequest): string {
  const who = process.getBuiltinModule("node:crypto").createHash("sha256").update(`${identity.username}\0${identity.secret}`).digest("base64");
  return [realm.href, service, scopes.join(" "), who].join("\n");
}

function readToken(bytes: Buffer): Token {
  let answer: Record<string, unknown>;
  try {
    answer = JSON.parse(bytes.toString()) as Record<string, unknown>;
  } catch (cause) {
    throw systemError("failed to authorize: unable to decode token response", cause);
  }
  const text = (name: string): string => (typeof answer?.[name] === "string" ? answer[name] : "");
  const token = text("access_token") || text("token");
  if (token === "" || /[^\x21-\x7e]/.test(token)) throw systemError("failed to authorize: authorization server did not include a token in the response");
  const given = Number(answer["expires_in"]);
  const seconds = given > 0 ? given : usualSeconds;
  return { token, refreshToken: text("refresh_token"), expires: Date.now() + seconds * 1000 * (1 - marginShare) };
}
