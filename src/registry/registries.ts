/** The registries that this machine can talk to. */
import type { Cancel, Registries, RegistryAccess, RegistryCredentials, RegistrySettings, Repository, SearchQuery, SearchResult } from "../core/registry.ts";
import { formatPrefix } from "../lib/ip.ts";
import { type Reference } from "../lib/reference.ts";
import { Authorizer } from "./auth/authorizer.ts";
import { Tokens } from "./auth/tokens.ts";
import { type HostSettings, Hosts } from "./hosts/hosts.ts";
import { HttpClient, type HttpLimits } from "./http/client.ts";
import type { ProxySettings } from "../lib/proxy.ts";
import { login } from "./login.ts";
import { RemoteRepository } from "./repository.ts";
import { search } from "./search.ts";
import { Session } from "./session.ts";

export interface RegistriesOptions {
  hosts: HostSettings;
  proxies: ProxySettings;
  userAgent: string;
  /** Of a download without any progress. */
  mostDownloadAttempts: number;
  backoffMilliseconds?: number;
  limits?: HttpLimits;
}

export interface OpenRegistries extends Registries {
  /** For what is asked from now on. Throws "invalid-parameter", and then changes nothing. */
  configure(hosts: HostSettings, mostDownloadAttempts: number): void;
  close(): void;
}

/** Throws "invalid-parameter" for malformed settings. */
export function createRegistries(options: RegistriesOptions): OpenRegistries {
  const { userAgent, backoffMilliseconds = 500 } = options;
  let { mostDownloadAttempts } = options;
  let hosts = new Hosts(options.hosts);
  const http = new HttpClient(options.proxies, options.limits);
  const tokens = new Tokens(http);
  const sessionFor = (registry: string, { credentials, headers = {} }: RegistryAccess): Session =>
    new Session({ http, authorizer: new Authorizer({ credentials, registry, tokens, userAgent }), userAgent, headers, backoffMilliseconds });
  return {
    repository: (reference: Reference, access: RegistryAccess = {}): Repository =>
      new RemoteRepository({ reference, session: sessionFor(reference.domain, access), endpoints: () => hosts.endpointsOf(reference.domain), mostDownloadAttempts }),
    login: (credentials: RegistryCredentials, cancel: Cancel = {}) => login({ hosts, http, tokens, userAgent }, credentials, cancel),
    search: (query: SearchQuery, cancel: Cancel = {}): Promise<SearchResult[]> => search({ hosts, sessionFor }, query, cancel),
    settings: (): RegistrySettings => ({ mirrors: hosts.mirrors, insecureNames: [...hosts.insecure.names], insecureNetworks: hosts.insecure.networks.map(formatPrefix) }),
    configure(settings: HostSettings, attempts: number): void {
      hosts = new Hosts(settings);
      mostDownloadAttempts = attempts;
    },
    close: () => http.close(),
  };
}
