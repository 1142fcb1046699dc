/**
 * What a container may reach: rules as the user writes them, "allow=HOST[:PORTS][/PROTOCOL]".
 *
 *   HOST      a name, a name whose first label is "*" (anything below, at any depth), "*" (any name), an address or a subnet;
 *             an IPv6 one before ports in brackets
 *   PORTS     80, 8000-8100; absent: every one
 *   PROTOCOL  tcp (where ports are named), udp, any
 */
import { invalidParameter } from "./errors.ts";
import { formatPrefix, networkOf, bitsOf, parseIp, parsePrefix } from "./ip.ts";
import type { IpPrefix } from "./ip.ts";

export interface EgressRule {
  target: { kind: "name"; name: string } | { kind: "prefix"; prefix: IpPrefix };
  ports: { first: number; last: number };
  protocol: "tcp" | "udp" | "any";
}

const ALL_PORTS = { first: 0, last: 65535 };
const PATTERN = /^allow=(?:\[([^\]]+)\]|([^:[\]]+?)|([^[\]]*:[^[\]]*:[^[\]]*?))(?::([0-9]{1,5})(?:-([0-9]{1,5}))?)?(?:\/(tcp|udp|any))?$/;
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

/** Throws "invalid-parameter" that names the rule. */
export function parseEgress(text: string): EgressRule {
  const bad = (why: string): Error => invalidParameter(`invalid egress rule ${JSON.stringify(text)}: ${why}`);
  const match = PATTERN.exec(withPrefixLength(text));
  if (!match) throw bad("it is allow=HOST[:PORT[-PORT]][/tcp|/udp|/any]");
  const [, bracketed, plain, bareIpv6, first, last, protocol] = match;
  const target = targetOf((bracketed ?? plain ?? bareIpv6 ?? "").replace("~", "/"));
  if (!target) throw bad("its host is no name, address or subnet");
  const ports = first === undefined ? ALL_PORTS : { first: Number(first), last: Number(last ?? first) };
  if (ports.first > ports.last || ports.last > 65535) throw bad("its ports are no range");
  return { target, ports, protocol: (protocol as EgressRule["protocol"] | undefined) ?? (first === undefined ? "any" : "tcp") };
}

/** A subnet's slash is not that of a protocol. */
const withPrefixLength = (text: string): string => text.replace(/\/([0-9]+)/, "~$1");

function targetOf(text: string): EgressRule["target"] | undefined {
  const address = parseIp(text);
  const prefix = address ? { address, length: bitsOf(address.family) } : parsePrefix(text);
  if (prefix) return { kind: "prefix", prefix: networkOf(prefix) };
  const name = text.toLowerCase().replace(/\.$/, "");
  if (name === "*") return { kind: "name", name };
  const labels = (name.startsWith("*.") ? name.slice(2) : name).split(".");
  // The last label of a name is no number: it would be a mistyped address.
  return name.length <= 253 && labels.every((label) => LABEL.test(label)) && !/^[0-9]+$/.test(labels.at(-1)!) ? { kind: "name", name } : undefined;
}

export const matchesName = (pattern: string, name: string): boolean => pattern === "*" || (pattern.startsWith("*.") ? name.endsWith(pattern.slice(1)) && name.length > pattern.length - 1 : name === pattern);

/** The same rule in one form. */
export function formatEgress({ target, ports: { first, last }, protocol }: EgressRule): string {
  const host = target.kind === "name" ? target.name : target.prefix.address.family === 6 ? `[${formatPrefix(target.prefix)}]` : formatPrefix(target.prefix);
  const every = first === 0 && last === 65535;
  return `allow=${host}${every ? "" : `:${first}${last === first ? "" : `-${last}`}`}${protocol === (every ? "any" : "tcp") ? "" : `/${protocol}`}`;
}
