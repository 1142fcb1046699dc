/** `docker search`: Docker Hub's index, or the same interface of another registry (v1, "search"). */
import type { Cancel, RegistryAccess, SearchQuery, SearchResult } from "../core/registry.ts";
import { invalidParameter, messageOf, systemError } from "../lib/errors.ts";
import { basic } from "./auth/tokens.ts";
import { hostOf } from "./auth/authorizer.ts";
import type { Endpoint } from "./hosts/endpoint.ts";
import { allCapabilities } from "./hosts/endpoint.ts";
import { HUB, type Hosts } from "./hosts/hosts.ts";
import { type HttpResponse, readBody } from "./http/client.ts";
import { defaultTls } from "./http/tls-settings.ts";
import type { Session } from "./session.ts";

export interface SearchParts {
  hosts: Hosts;
  sessionFor: (registry: string, access: RegistryAccess) => Session;
}

const INDEX_HOST = "index.docker.io";
const mostBytes = 8 << 20;

export async function search({ hosts, sessionFor }: SearchParts, query: SearchQuery, { signal }: Cancel): Promise<SearchResult[]> {
  if (query.term.includes("://")) throw invalidParameter(`invalid repository name: repository name (${query.term}) should not have a scheme`);
  const { registry, name } = splitTerm(query.term);
  const endpoint = registry === HUB ? hubIndex() : { ...((await hosts.endpointsOf(registry)).at(-1) as Endpoint), path: "/v1" };
  const session = sessionFor(registry, query.headers === undefined ? {} : { headers: query.headers });
  if (registry !== HUB) await ping(session, endpoint, signal);
  const target = `/search?q=${encodeURIComponent(name)}&n=${query.limit}`;
  const response = await session.send(endpoint, { method: "GET", target, headers: { "x-docker-token": "true", ...authorizationOf(query, registry) }, scopes: [], signal });
  if (response.status !== 200) {
    response.discard();
    throw systemError(`unexpected status code ${response.status}`);
  }
  return resultsOf(response);
}

const hubIndex = (): Endpoint => ({ scheme: "https", host: INDEX_HOST, path: "/v1", capabilities: allCapabilities, tls: defaultTls, plainFallback: false, headers: {} });

function splitTerm(term: string): { registry: string; name: string } {
  const slash = term.indexOf("/");
  const first = term.slice(0, Math.max(slash, 0));
  const named = slash > 0 && (/[.:]/.test(first) || first === "localhost") && first !== INDEX_HOST && first !== HUB;
  if (named) return { registry: first, name: term.slice(slash + 1) };
  const rest = first === INDEX_HOST || first === HUB ? term.slice(slash + 1) : term;
  return { registry: HUB, name: rest.replace(/^library\//, "") };
}

async function ping(session: Session, endpoint: Endpoint, signal: AbortSignal | undefined): Promise<void> {
  try {
    (await session.send(endpoint, { method: "GET", target: "/_ping", scopes: [], signal, hasAlternative: true })).discard();
  } catch (error) {
    const hint = endpoint.tls.skipVerify
      ? ""
      : `. If this private registry supports only HTTP or HTTPS with an unknown CA certificate, add \`--insecure-registry ${endpoint.host}\` to the daemon's arguments. In the case of HTTPS, if you have access to the registry's CA certificate, no need for the flag; place the CA certificate at /etc/docker/certs.d/${endpoint.host}/ca.crt`;
    throw invalidParameter(`invalid registry endpoint ${endpoint.scheme}://${endpoint.host}/v1/: ${messageOf(error)}${hint}`, error);
  }
}

/** Only for the registry that the credentials are for. */
function authorizationOf({ credentials = {} }: SearchQuery, registry: string): Record<string, string> {
  const { username = "", password = "", serverAddress = "" } = credentials;
  const host = hostOf(serverAddress) === INDEX_HOST ? HUB : hostOf(serverAddress) || registry;
  return username !== "" && password !== "" && host === registry ? { authorization: basic({ username, secret: password }) } : {};
}

async function resultsOf(response: HttpResponse): Promise<SearchResult[]> {
  const bytes = await readBody(response, mostBytes);
  let answer: { results?: unknown } | null;
  try {
    answer = JSON.parse(bytes.toString()) as { results?: unknown } | null;
  } catch (cause) {
    throw systemError(`error decoding registry search results: ${messageOf(cause)}`, cause);
  }
  const results = Array.isArray(answer?.results) ? (answer.results as (Record<string, unknown> | null)[]) : [];
  return results.map((result) => {
    const { name, description, star_count: stars, is_official: isOfficial } = result ?? {};
    return { name: typeof name === "string" ? name : "", description: typeof description === "string" ? description : "", starCount: Number.isSafeInteger(stars) ? Number(stars) : 0, isOfficial: isOfficial === true };
  });
}
