/**
 * What keeps web pages away from an API on TCP: a browser that visits a hostile page can reach this machine's ports.
 *
 * - DNS rebinding: the page's own host name points here. Its requests carry that name: names with a dot are refused unless
 *   they are this machine's. A name without a dot cannot be the page's, so that names of other containers work.
 * - Cross-site requests: a browser tells their origin. No client of this API does.
 */
import type { IncomingHttpHeaders } from "node:http";
import { GantryError } from "../lib/errors.ts";

/** Throws "forbidden" for what looks like a browser's request. `names` are this machine's; "*" allows all. */
export function refuseBrowsers(headers: IncomingHttpHeaders, names: ReadonlySet<string>): void {
  if (headers.origin !== undefined || headers["sec-fetch-site"] === "cross-site") {
    throw new GantryError("forbidden", "requests from web pages are refused: they could act with the rights of whoever visits the page");
  }
  const name = hostName(headers.host ?? "");
  if (isAddress(name) || !name.includes(".") || names.has(name) || names.has("*")) return;
  throw new GantryError("forbidden", `requests to the host name ${JSON.stringify(name)} are refused: it could be a web page's name that points here; name it with --allowed-host if it is this machine's`);
}

/** Without the port, in lower case, without a final dot. */
const hostName = (host: string): string => host.toLowerCase().replace(/:\d*$/, "").replace(/\.$/, "");

const isAddress = (name: string): boolean => /^\[[0-9a-f:.%]+\]$/.test(name) || /^\d{1,3}(\.\d{1,3}){3}$/.test(name);
