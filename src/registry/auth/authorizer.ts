/**
 * Authorization of one user's requests to one repository's endpoints. What a registry asks for is learned from its 401 answers:
 *
 *   request ──▶ 401, WWW-Authenticate ──▶ answerChallenge() ──▶ the same request with authorize()
 *
 * Credentials are for one host: only that one's challenges are answered with them, those of others (mirrors) anonymously.
 */
import type { RegistryCredentials } from "../../core/registry.ts";
import { systemError } from "../../lib/errors.ts";
import { type Endpoint, originOf } from "../hosts/endpoint.ts";
import { HUB, HUB_HOST } from "../hosts/hosts.ts";
import type { HttpResponse } from "../http/client.ts";
import { parseChallenges, type Challenge } from "./challenge.ts";
import { basic, type Identity, type TokenRequest, type Tokens } from "./tokens.ts";

/** The registry wants credentials that there are not, or does not accept them. */
export class AuthorizationFailed extends Error {
  /** Nobody was named at all. */
  readonly anonymous: boolean;

  constructor(message: string, anonymous: boolean) {
    super(message);
    this.anonymous = anonymous;
  }
}

export interface AuthorizerOptions {
  credentials: RegistryCredentials | undefined;
  /** The registry of the reference. */
  registry: string;
  tokens: Tokens;
  userAgent: string;
}

interface Answered {
  scopes: readonly string[];
  /** How often an authorization was refused. A kept token may have been revoked, a new one is no better than the one before. */
  refused: number;
}

type Scheme = { kind: "basic" } | { kind: "bearer"; realm: URL; service: string; scopes: readonly string[] };

const nobody: Identity = { username: "", secret: "" };

export class Authorizer {
  readonly #options: AuthorizerOptions;
  readonly #host: string;
  /** What each origin asked for. */
  readonly #schemes = new Map<string, Scheme>();

  constructor(options: AuthorizerOptions) {
    this.#options = options;
    const given = hostOf(options.credentials?.serverAddress ?? "") || options.registry;
    this.#host = given === HUB || given === "index.docker.io" ? HUB_HOST : given;
  }

  /** The value of the Authorization header, or undefined. */
  async authorize(endpoint: Endpoint, scopes: readonly string[], signal: AbortSignal | undefined): Promise<string | undefined> {
    const registryToken = this.#options.credentials?.registryToken ?? "";
    if (registryToken !== "" && this.#isOwn(endpoint)) return `Bearer ${registryToken}`;
    const scheme = this.#schemes.get(originOf(endpoint));
    if (!scheme) return undefined;
    if (scheme.kind === "basic") return basic(this.#identityAt(endpoint));
    return `Bearer ${await this.#options.tokens.get(this.#request(scheme, { endpoint, scopes, signal }))}`;
  }

  /**
   * Takes note of a 401. True when the request can be sent again with a better authorization; throws AuthorizationFailed when
   * there are no credentials to do so.
   */
  answerChallenge(endpoint: Endpoint, response: HttpResponse, { scopes, refused }: Answered): boolean {
    if ((this.#options.credentials?.registryToken ?? "") !== "" && this.#isOwn(endpoint)) return false;
    for (const challenge of parseChallenges(response.headers["www-authenticate"] ?? "")) {
      if (challenge.scheme === "bearer") return this.#bearer(endpoint, challenge, { scopes, refused });
      if (challenge.scheme === "basic") return this.#basic(endpoint, refused);
    }
    return false;
  }

  /** What to ask a token server for a lasting token with; undefined when the registry has none or there is no password. */
  identityTokenRequest(endpoint: Endpoint, signal: AbortSignal | undefined): TokenRequest | undefined {
    const scheme = this.#schemes.get(originOf(endpoint));
    const { username } = this.#identityAt(endpoint);
    return scheme?.kind === "bearer" && username !== "" ? this.#request(scheme, { endpoint, scopes: [], signal }) : undefined;
  }

  #bearer(endpoint: Endpoint, { parameters }: Challenge, { scopes, refused }: Answered): boolean {
    const reason = (parameters["error"] ?? "").slice(0, 64);
    const scheme: Scheme = { kind: "bearer", realm: realmOf(parameters["realm"] ?? "", endpoint), service: parameters["service"] ?? "", scopes: (parameters["scope"] ?? "").split(" ").filter((scope) => scope !== "") };
    const known = this.#schemes.get(originOf(endpoint));
    if (refused > 0) this.#options.tokens.forget(this.#request(scheme, { endpoint, scopes, signal: undefined }));
    if (refused > 0 && known?.kind === "bearer") this.#options.tokens.forget(this.#request(known, { endpoint, scopes, signal: undefined }));
    if (refused > 1 && reason !== "") throw new AuthorizationFailed(`server message: ${reason}: authorization failed`, false);
    this.#schemes.set(originOf(endpoint), scheme);
    return refused < 2;
  }

  #basic(endpoint: Endpoint, refused: number): boolean {
    const { username, secret } = this.#identityAt(endpoint);
    if (username === "" || secret === "") throw new AuthorizationFailed("authorization failed: no basic auth credentials", true);
    this.#schemes.set(originOf(endpoint), { kind: "basic" });
    return refused === 0;
  }

  #request(scheme: Extract<Scheme, { kind: "bearer" }>, { endpoint, scopes, signal }: { endpoint: Endpoint; scopes: readonly string[]; signal: AbortSignal | undefined }): TokenRequest {
    const { realm, service } = scheme;
    const all = [...new Set([...scopes, ...(scopes.length === 0 ? scheme.scopes : [])])].sort();
    return { realm, service, scopes: all, identity: this.#identityAt(endpoint), tls: endpoint.tls, userAgent: this.#options.userAgent, signal };
  }

  #identityAt(endpoint: Endpoint): Identity {
    const { credentials } = this.#options;
    if (!credentials || !this.#isOwn(endpoint)) return nobody;
    const { identityToken = "", username = "", password = "" } = credentials;
    return identityToken === "" ? { username, secret: password } : { username: "", secret: identityToken };
  }

  #isOwn(endpoint: Endpoint): boolean {
    return endpoint.host === this.#host;
  }
}

/** The host of a registry's name, which old configuration files have as a URL. */
export const hostOf = (address: string): string => /^(?:https?:\/\/)?([^/]*)/.exec(address)?.[1] ?? "";

/** A token server that would see secrets that the registry's connection protects must be protected, too. */
function realmOf(text: string, endpoint: Endpoint): URL {
  const realm = URL.parse(text);
  if (!realm || (realm.protocol !== "https:" && realm.protocol !== "http:")) throw systemError(`invalid token auth challenge realm: ${JSON.stringify(text.slice(0, 200))}`);
  if (endpoint.scheme === "https" && !endpoint.tls.skipVerify && realm.protocol === "http:") throw systemError(`the registry ${endpoint.host} names a token server without TLS (${realm.origin}): refusing to authenticate there`);
  realm.username = "";
  realm.password = "";
  return realm;
}
