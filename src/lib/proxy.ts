/** Which proxy a request goes through: the rules of Go's net/http (HTTP_PROXY, HTTPS_PROXY, NO_PROXY), and ALL_PROXY where the first two are not set. */
import { invalidParameter } from "./errors.ts";
import { contains, formatIp, isLoopback, parseIp, parsePrefix } from "./ip.ts";

export interface ProxySettings {
  httpProxy: string;
  httpsProxy: string;
  /** Hosts that are reached directly, separated by commas. */
  noProxy: string;
}

/** A user name and password in a URL are nobody else's business. */
export function withoutCredentials(text: string): string {
  return text.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, "$1xxxxx:xxxxx@");
}

const schemes = new Set(["http:", "https:", "socks5:", "socks5h:"]);

export const noProxies: ProxySettings = { httpProxy: "", httpsProxy: "", noProxy: "" };

/** Settings of the environment, each overridden by one that is not "". */
export function proxySettings(environment: NodeJS.ProcessEnv, settings: ProxySettings = noProxies): ProxySettings {
  const from = (name: string): string => environment[name.toUpperCase()] || environment[name.toLowerCase()] || "";
  const all = from("all_proxy");
  return { httpProxy: settings.httpProxy || from("http_proxy") || all, httpsProxy: settings.httpsProxy || from("https_proxy") || all, noProxy: settings.noProxy || from("no_proxy") };
}

/** Variables of the environment that settings override. */
export function overriddenVariables(environment: NodeJS.ProcessEnv, settings: ProxySettings): string[] {
  const variables: [name: string, setting: string][] = [["http_proxy", settings.httpProxy], ["https_proxy", settings.httpsProxy], ["no_proxy", settings.noProxy]];
  return variables.flatMap(([name, setting]) => [name.toUpperCase(), name].filter((one) => setting !== "" && (environment[one] ?? "") !== "" && environment[one] !== setting));
}

/** Throws "invalid-parameter" for what is no proxy's address, without telling its password. */
export function checkProxy(text: string): void {
  if (text === "") return;
  const url = URL.parse(text.includes("://") ? text : `http://${text}`);
  if (!url || url.hostname === "") throw invalidParameter("invalid proxy: not a valid URL");
  if (!schemes.has(url.protocol)) throw invalidParameter(`the proxy scheme ${JSON.stringify(url.protocol.slice(0, -1))} is not supported: use http, https or socks5`);
}

/** Undefined: directly. */
export function proxyFor(url: URL, settings: ProxySettings): string | undefined {
  const proxy = url.protocol === "https:" ? settings.httpsProxy : settings.httpProxy;
  if (proxy === "" || isExcepted(url, settings.noProxy)) return undefined;
  return proxy.includes("://") ? proxy : `http://${proxy}`;
}

function isExcepted(url: URL, noProxy: string): boolean {
  const host = hostnameOf(url);
  const address = parseIp(host);
  if (host === "localhost" || (address && isLoopback(address))) return true;
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  return noProxy.split(",").some((entry) => excepts(entry.trim().toLowerCase(), { host, port, address }));
}

export const hostnameOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, "").toLowerCase();

function excepts(entry: string, { host, port, address }: { host: string; port: string; address: ReturnType<typeof parseIp> }): boolean {
  if (entry === "") return false;
  if (entry === "*") return true;
  const prefix = entry.includes("/") ? parsePrefix(entry) : undefined;
  if (prefix) return address !== undefined && contains(prefix, address);
  const [, name = entry, wantedPort] = /^(.*?|\[.*\])(?::(\d+))?$/.exec(parseIp(entry) ? `[${entry}]` : entry) ?? [];
  if (wantedPort !== undefined && wantedPort !== port) return false;
  const bare = name.replace(/^\[|\]$/g, "");
  const own = parseIp(bare);
  if (own) return address !== undefined && formatIp(own) === formatIp(address);
  const suffix = bare.replace(/^\*(?=\.)/, "");
  return suffix.startsWith(".") ? host.endsWith(suffix) : host === suffix || host.endsWith(`.${suffix}`);
}
