/**
 * What a container may say of itself on its network, as an nftables table of the bridge family: nobody is believed to be somebody
 * else. Each guarded port is an element of `guarded`, with its hardware address and its addresses in the other sets.
 *
 *   guard   prerouting -250   frames from the port's hardware address; ARP, IPv4 and IPv6 from its addresses; no router's messages,
 *                             and no neighbour's but about itself
 */
import { ipFromBytes, ipToBytes, parseIp } from "../../lib/ip.ts";
import type { IpAddress } from "../../lib/ip.ts";
import { concatenation, ifname } from "../../sys/netlink/nftables.ts";
import type { NftChange, NftElement } from "../../sys/netlink/nftables.ts";
import { seclusionFrame } from "./seclusion.ts";
import type { SeclusionNeeds } from "./seclusion.ts";
import { word } from "../../sys/netlink/nftables-expression.ts";
import type { NftExpression } from "../../sys/netlink/nftables-expression.ts";

export interface GuardedPort {
  /** The host's end. */
  name: string;
  mac: Uint8Array;
  addresses: readonly IpAddress[];
  /** It speaks for itself only; false: it may speak for others. */
  guarded: boolean;
  /** It reaches no other port of its kind: see seclusion.ts. */
  secluded: boolean;
  /** It leads to an annex. */
  link?: boolean;
}

const PRIORITY = -250;
const ETHERNET = { ipv4: Uint8Array.of(0x08, 0x00), arp: Uint8Array.of(0x08, 0x06), ipv6: Uint8Array.of(0x86, 0xdd) } as const;
const ICMPV6 = 58;
const MESSAGE = { routerAdvertisement: 134, neighbourAdvertisement: 136, redirect: 137 } as const;
const UNSPECIFIED = { ipv4: new Uint8Array(4), ipv6: new Uint8Array(16) } as const;
const LINK_LOCAL = { first: ipToBytes(parseIp("fe80::")!), last: ipToBytes(parseIp("febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff")!) };
const MULTICAST = { first: ipToBytes(parseIp("ff00::")!), last: ipToBytes(parseIp("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")!) };
const ACCEPT: NftExpression = { expr: "verdict", verdict: "accept" };
const DROP: NftExpression = { expr: "verdict", verdict: "drop" };
/** The first word behind a name in a key. */
const BEHIND_NAME = 4;
const BEHIND_MAC = 6;

/** Sets that are there already keep their elements: ports of an earlier daemon stay guarded. */
export function guardFrame(needs: SeclusionNeeds): NftChange[] {
  const set = (name: string, ...key: ("ifname" | "mac" | "ipv4" | "ipv6")[]): NftChange => ({ op: "addSet", set: { name, key } });
  return [
    set("guarded", "ifname"),
    set("macs", "ifname", "mac"),
    set("ipv4", "ifname", "ipv4"),
    set("ipv6", "ifname", "ipv6"),
    set("own", "ifname", "mac", "ipv4"),
    set("own6", "ifname", "mac", "ipv6"),
    { op: "addChain", chain: { name: "guard", base: { type: "filter", hook: "prerouting", priority: PRIORITY, policy: "accept" } } },
    { op: "flushChain", chain: "guard" },
    ...guardRules(),
    ...seclusionFrame(needs),
  ];
}

function guardRules(): NftChange[] {
  const rule = (comment: string, ...expressions: NftExpression[]): NftChange => ({ op: "addRule", chain: "guard", expressions, comment });
  return [
    // Nearly every packet: all that the rules below ask of it, in one lookup.
    rule("its own packets", ...isType("ipv4"), ...ownFields(12, 4), { expr: "lookup", set: "own", register: word(0) }, ACCEPT),
    rule("its own packets of IPv6", ...isType("ipv6"), ...isProtocol(ICMPV6, false), ...ownFields(8, 16), { expr: "lookup", set: "own6", register: word(0) }, ACCEPT),
    rule("others", port(1), { expr: "lookup", set: "guarded", register: 1, invert: true }, ACCEPT),
    rule("its hardware address", ...lookup("macs", "link", 6, 6), DROP),
    rule("ARP of its hardware address", ...isType("arp"), ...lookup("macs", "network", 8, 6), DROP),
    rule("ARP of its addresses", ...isType("arp"), ...lookup("ipv4", "network", 14, 4, { known: true }), ACCEPT),
    rule("ARP before it has one", ...isType("arp"), ...is("network", 14, UNSPECIFIED.ipv4), ACCEPT),
    rule("no other ARP", ...isType("arp"), DROP),
    rule("its addresses", ...isType("ipv4"), ...lookup("ipv4", "network", 12, 4, { known: true }), ACCEPT),
    rule("before it has one", ...isType("ipv4"), ...is("network", 12, UNSPECIFIED.ipv4), ACCEPT),
    rule("no other address", ...isType("ipv4"), DROP),
    rule("no router", ...isType("ipv6"), ...isMessage(MESSAGE.routerAdvertisement), DROP),
    rule("no redirection", ...isType("ipv6"), ...isMessage(MESSAGE.redirect), DROP),
    rule("a neighbour about itself", ...isType("ipv6"), ...isMessage(MESSAGE.neighbourAdvertisement), ...between("transport", 8, LINK_LOCAL), ACCEPT),
    rule("a neighbour about others", ...isType("ipv6"), ...isMessage(MESSAGE.neighbourAdvertisement), ...lookup("ipv6", "transport", 8, 16), DROP),
    rule("its IPv6 addresses", ...isType("ipv6"), ...lookup("ipv6", "network", 8, 16, { known: true }), ACCEPT),
    rule("before it has an IPv6 address", ...isType("ipv6"), ...is("network", 8, UNSPECIFIED.ipv6), ACCEPT),
    rule("link-local messages", ...isType("ipv6"), ...between("network", 8, LINK_LOCAL), ...isProtocol(ICMPV6), ACCEPT),
    rule("link-local to groups", ...isType("ipv6"), ...between("network", 8, LINK_LOCAL), ...between("network", 24, MULTICAST), ACCEPT),
    rule("no other IPv6 address", ...isType("ipv6"), DROP),
  ];
}

type Base = "link" | "network" | "transport";
const port = (register: number): NftExpression => ({ expr: "meta", key: "iifname", register });
const isType = (type: keyof typeof ETHERNET): NftExpression[] => [
  { expr: "meta", key: "protocol", register: 1 },
  { expr: "compare", register: 1, equal: true, value: ETHERNET[type] },
];
const isProtocol = (number: number, equal = true): NftExpression[] => [
  { expr: "meta", key: "l4proto", register: 1 },
  { expr: "compare", register: 1, equal, value: Uint8Array.of(number) },
];
/** Port, sender's hardware address and sender. */
const ownFields = (offset: number, length: number): NftExpression[] => [
  port(word(0)),
  { expr: "payload", base: "link", offset: 6, length: 6, register: word(BEHIND_NAME) },
  { expr: "payload", base: "network", offset, length, register: word(BEHIND_MAC) },
];
const is = (base: Base, offset: number, value: Uint8Array): NftExpression[] => [
  { expr: "payload", base, offset, length: value.length, register: 1 },
  { expr: "compare", register: 1, equal: true, value },
];
const isMessage = (type: number): NftExpression[] => [...isProtocol(ICMPV6), ...is("transport", 0, Uint8Array.of(type))];
const between = (base: Base, offset: number, range: { first: Uint8Array; last: Uint8Array }): NftExpression[] => [
  { expr: "payload", base, offset, length: range.first.length, register: 1 },
  { expr: "range", register: 1, ...range },
];

/** Goes on where the port with this field is not in the set; `known`: where it is. */
const lookup = (set: string, base: Base, offset: number, length: number, { known = false } = {}): NftExpression[] => [
  port(word(0)),
  { expr: "payload", base, offset, length, register: word(BEHIND_NAME) },
  { expr: "lookup", set, register: word(0), ...(known ? {} : { invert: true }) },
];

export function guardElements(op: "addElements" | "deleteElements", { name, mac, addresses, guarded, secluded, link = false }: GuardedPort): NftChange[] {
  const seclusion: NftChange[] = [
    ...(secluded ? [{ op, set: "secluded", elements: [{ key: ifname(name) }] }] : []),
    ...(link ? [{ op, set: "links", elements: [{ key: concatenation(ifname(name), ifname(name)) }] }] : []),
  ];
  if (!guarded) return seclusion;
  const of = (set: string, fields: Uint8Array[]): NftChange[] => (fields.length === 0 ? [] : [{ op, set, elements: fields.map((field): NftElement => ({ key: concatenation(ifname(name), field) })) }]);
  const family = (wanted: 4 | 6): Uint8Array[] => addresses.filter((address) => address.family === wanted).map(ipToBytes);
  return [...seclusion, ...of("macs", [mac]), ...of("ipv4", family(4)), ...of("ipv6", family(6)), ...of("own", family(4).map((address) => concatenation(mac, address))), ...of("own6", family(6).map((address) => concatenation(mac, address))), { op, set: "guarded", elements: [{ key: ifname(name) }] }];
}

const NAME_BYTES = 16;
/** What ports are told from. */
export const PORT_SETS = ["macs", "ipv4", "ipv6", "secluded", "links"] as const;

/** The ports that the sets' keys describe. */
export function guardedPorts(keys: Record<(typeof PORT_SETS)[number], readonly Buffer[]>): GuardedPort[] {
  const ports = new Map<string, GuardedPort & { addresses: IpAddress[] }>();
  const nameOf = (key: Buffer): string => key.toString("utf8", 0, key.indexOf(0) < 0 ? NAME_BYTES : Math.min(key.indexOf(0), NAME_BYTES));
  const secluded = new Set(keys.secluded.map(nameOf));
  for (const name of keys.links.map(nameOf)) ports.set(name, { name, mac: new Uint8Array(), addresses: [], guarded: false, secluded: secluded.has(name), link: true });
  for (const name of secluded) if (!ports.has(name)) ports.set(name, { name, mac: new Uint8Array(), addresses: [], guarded: false, secluded: true });
  for (const key of keys.macs) ports.set(nameOf(key), { name: nameOf(key), mac: key.subarray(NAME_BYTES, NAME_BYTES + 6), addresses: [], guarded: true, secluded: secluded.has(nameOf(key)) });
  for (const key of [...keys.ipv4, ...keys.ipv6]) ports.get(nameOf(key))?.addresses.push(ipFromBytes(key.subarray(NAME_BYTES)));
  return [...ports.values()];
}
