/** The host's /etc/resolv.conf, as resolv.conf(5) says. */
import { parseIp } from "./ip.ts";

export interface ResolvConf {
  nameservers: string[];
  search: string[];
  options: string[];
  /** Directives that are not ours to understand. */
  other: string[];
  invalid: string[];
}

/** resolv.conf(5): the last `search` or `domain` counts, options accumulate. */
export function parseResolvConf(text: string): ResolvConf {
  const conf: ResolvConf = { nameservers: [], search: [], options: [], other: [], invalid: [] };
  for (const line of text.split("\n")) {
    const [directive, ...values] = line.trim().split(/\s+/);
    if (!directive || directive.startsWith("#") || directive.startsWith(";")) continue;
    if (!["nameserver", "domain", "search", "options"].includes(directive)) conf.other.push(line);
    else if (values.length === 0) continue;
    else if (directive === "nameserver") (isServer(values[0]!) ? conf.nameservers : conf.invalid).push(values[0]!);
    else if (directive === "options") conf.options.push(...values);
    else conf.search = values;
  }
  return conf;
}

/** An address, perhaps with a zone as in fe80::1%eth0. */
const isServer = (text: string): boolean => parseIp(text.replace(/%.+$/, "")) !== undefined;
