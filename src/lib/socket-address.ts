/** Addresses of servers as URLs, split as Go's net/url does it. */
import { quote } from "./strconv.ts";

export interface SocketUrl {
  scheme: string;
  /** With the port. */
  host: string;
  path: string;
}

/** Throws Go's words for one without a scheme. */
export function parseSocketUrl(address: string): SocketUrl {
  if (address.startsWith(":")) throw new Error(`parse ${quote(address)}: missing protocol scheme`);
  const match = /^(?:([a-zA-Z][a-zA-Z0-9+.-]*):)?(?:\/\/([^/?#]*))?([^?#]*)/.exec(address);
  return { scheme: (match?.[1] ?? "").toLowerCase(), host: match?.[2] ?? "", path: match?.[3] ?? "" };
}

/** "host:port", "[::1]:port", "host", ":port". */
export function splitHostPort(text: string, defaults: { host: string; port: number }): { host: string; port: number } {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d*))?$/.exec(text);
  if (!match) return { host: text, port: defaults.port };
  const port = match[3] ?? "";
  return { host: match[1] || match[2] || defaults.host, port: port === "" ? defaults.port : Number(port) };
}
