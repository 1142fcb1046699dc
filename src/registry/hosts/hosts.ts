/** Finds the endpoints of a registry, in the order in which they are asked. */
import { parseIp, isLoopback } from "../../lib/ip.ts";
import { defaultTls, type TlsSettings } from "../http/tls-settings.ts";
import { allCapabilities, type Endpoint } from "./endpoint.ts";
import { type ConfiguredHost, configuredHosts, isTlsConfigured, tlsOf } from "./hosts-toml.ts";
import { type InsecureRegistries, isInsecure, parseInsecure } from "./insecure.ts";
import { parseMirror } from "./mirror.ts";

export const HUB = "docker.io";
export const HUB_HOST = "registry-1.docker.io";

export interface HostSettings {
  /** Of Docker Hub, in order. */
  mirrors: readonly string[];
  insecureRegistries: readonly string[];
  /** Folders with a folder for each registry; the first that has one counts. */
  certsFolders: readonly string[];
}

export class Hosts {
  readonly mirrors: readonly string[];
  readonly insecure: InsecureRegistries;
  readonly #folders: readonly string[];

  /** Throws "invalid-parameter". */
  constructor(settings: HostSettings) {
    this.mirrors = [...new Set(settings.mirrors.map(parseMirror))];
    this.insecure = parseInsecure(settings.insecureRegistries);
    this.#folders = settings.certsFolders;
  }

  /** Files are read at each call, so that they may change. The registry itself is the last. */
  async endpointsOf(registry: string): Promise<Endpoint[]> {
    const configured = await configuredHosts(this.#folders, registry);
    const endpoints = (configured ?? [undefined]).map((host) => endpointOf(registry, host));
    const [only] = endpoints;
    const all = endpoints.length === 1 && only && registry === HUB ? [...this.mirrors.map((mirror) => mirrorEndpoint(mirror, only)), only] : endpoints;
    return Promise.all(all.map((endpoint) => this.#relaxed(endpoint)));
  }

  /** Configured insecure: any certificate, or none. */
  async #relaxed(endpoint: Endpoint): Promise<Endpoint> {
    if (isLocal(endpoint.host) || !(await isInsecure(this.insecure, endpoint.host))) return endpoint;
    return { ...endpoint, tls: { ...endpoint.tls, skipVerify: true }, plainFallback: endpoint.scheme === "https" };
  }
}

function endpointOf(registry: string, host: ConfiguredHost | undefined): Endpoint {
  const address = host?.address;
  const { headers = {}, dialMilliseconds } = host ?? {};
  const rest = { capabilities: host && address ? host.capabilities : allCapabilities, headers, dialMilliseconds };
  const name = address?.host ?? (registry === HUB ? HUB_HOST : registry);
  const tls = host ? tlsOf(host) : defaultTls;
  const configured = host !== undefined && isTlsConfigured(host);
  if (address) return guessed({ ...address, ...rest, tls, plainFallback: false }, configured);
  if (!isLocal(name)) return { scheme: "https", host: name, path: "/v2", ...rest, tls, plainFallback: false };
  return localEndpoint({ host: name, path: "/v2", ...rest }, tls);
}

/** Without its own certificates, a registry on this machine may have any, or none. */
function localEndpoint(parts: Omit<Endpoint, "scheme" | "tls" | "plainFallback">, tls: TlsSettings): Endpoint {
  const port = /:(\d+)$/.exec(parts.host)?.[1];
  if (port === "80") return { ...parts, scheme: "http", tls, plainFallback: false };
  return { ...parts, scheme: "https", tls: { ...tls, skipVerify: true }, plainFallback: port !== undefined && port !== "443" };
}

/** HTTP with certificates configured: HTTPS is tried first. */
function guessed(endpoint: Endpoint, tlsConfigured: boolean): Endpoint {
  if (endpoint.scheme === "https" || !tlsConfigured || endpoint.host.endsWith(":80")) return endpoint;
  return { ...endpoint, scheme: "https", plainFallback: true };
}

function mirrorEndpoint(mirror: string, hub: Endpoint): Endpoint {
  const url = new URL(mirror);
  const path = url.pathname.replace(/\/+$/, "");
  const scheme = url.protocol === "http:" ? "http" : "https";
  return { ...hub, scheme, host: url.host, path: path.endsWith("/v2") ? path : `${path}/v2`, capabilities: new Set(["pull", "resolve"]) };
}

export function isLocal(host: string): boolean {
  const name = host.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  const address = parseIp(name);
  return name === "localhost" || (address !== undefined && isLoopback(address));
}
