/** Checks credentials, as `docker login` does: asks for /v2/, and answers what the registry asks back. */
import type { Cancel, RegistryCredentials } from "../core/registry.ts";
import { codeOf, GantryError, invalidParameter, messageOf, systemError } from "../lib/errors.ts";
import { quote } from "../lib/strconv.ts";
import { Authorizer, hostOf } from "./auth/authorizer.ts";
import type { TokenRequest, Tokens } from "./auth/tokens.ts";
import type { Endpoint } from "./hosts/endpoint.ts";
import { HUB, type Hosts } from "./hosts/hosts.ts";
import type { HttpClient, HttpResponse } from "./http/client.ts";
import { isAuthorizationFailure, Session } from "./session.ts";

export interface LoginParts {
  hosts: Hosts;
  http: HttpClient;
  tokens: Tokens;
  userAgent: string;
}

export async function login(parts: LoginParts, credentials: RegistryCredentials, { signal }: Cancel): Promise<{ identityToken: string }> {
  const registry = registryOf(credentials.serverAddress ?? "");
  const { http, tokens, userAgent } = parts;
  /* Mirrors are not asked: the credentials are not theirs. */
  const endpoint = (await parts.hosts.endpointsOf(registry)).at(-1) as Endpoint;
  const authorizer = new Authorizer({ credentials: { ...credentials, serverAddress: registry }, registry, tokens, userAgent });
  const session = new Session({ http, authorizer, userAgent, headers: {}, backoffMilliseconds: 0 });
  const shown = (): string => `${session.actual(endpoint).scheme}://${endpoint.host}${endpoint.path}/`;
  let response: HttpResponse;
  try {
    response = await session.send(endpoint, { method: "GET", target: "/", scopes: [], signal, hasAlternative: true });
  } catch (error) {
    throw refused(error, shown());
  }
  response.discard();
  if (response.status !== 200) throw systemError(`login attempt to ${shown()} failed with status: ${response.statusLine}`);
  const request = authorizer.identityTokenRequest(session.actual(endpoint), signal);
  return { identityToken: request === undefined ? "" : await identityToken(tokens, request, shown()) };
}

/** The session was let in by a token: a lasting one is asked for, and the credentials are checked once more by it. */
async function identityToken(tokens: Tokens, request: TokenRequest, shown: string): Promise<string> {
  try {
    return (await tokens.fetch({ ...request, offline: true })).refreshToken;
  } catch (error) {
    throw refused(error, shown);
  }
}

function refused(error: unknown, shown: string): unknown {
  if (isAuthorizationFailure(error)) return systemError(`Get ${JSON.stringify(shown)}: ${error.message.replace(/^authorization failed: /, "")}`, error);
  if (codeOf(error) === "unauthorized") return new GantryError("unauthorized", `Get ${JSON.stringify(shown)}: unauthorized: ${messageOf(error).replace(/^error from registry: /, "")}`, { cause: error });
  return error;
}

function registryOf(address: string): string {
  const host = hostOf(address);
  const wrong = /[^A-Za-z0-9.:[\]_-]/.exec(host);
  if (wrong) throw invalidParameter(`unable to parse server address: parse ${quote(address.includes("://") ? address : `https://${address}`)}: invalid character ${quote(wrong[0])} in host name`);
  return host === "" || host === "index.docker.io" ? HUB : host;
}
