/** What the firewall's rules and elements of IPv4 and of IPv6 differ in. */
import type { PortProtocol } from "../../core/network-ports.ts";
import { ipToBytes, lastAddress, networkOf } from "../../lib/ip.ts";
import type { IpFamily, IpPrefix } from "../../lib/ip.ts";
import { concatenation, ifname } from "../../sys/netlink/nftables.ts";
import type { NftElement, NftType } from "../../sys/netlink/nftables.ts";
import { word } from "../../sys/netlink/nftables-expression.ts";
import type { NftExpression } from "../../sys/netlink/nftables-expression.ts";

interface FamilyTraits {
  /** As `meta nfproto` has it. */
  number: number;
  type: NftType;
  /** Bytes of an address, and where a packet has them. */
  length: number;
  source: number;
  destination: number;
  /** The ICMP that goes with it. */
  icmp: number;
  loopback: IpPrefix;
}

export const FAMILIES = [4, 6] as const;

const TRAITS: Record<IpFamily, FamilyTraits> = {
  4: { number: 2, type: "ipv4", length: 4, source: 12, destination: 16, icmp: 1, loopback: { address: { family: 4, value: 0x7f000000n }, length: 8 } },
  6: { number: 10, type: "ipv6", length: 16, source: 8, destination: 24, icmp: 58, loopback: { address: { family: 6, value: 1n }, length: 128 } },
};

/** Sets and maps: those of IPv6 end in 6. */
const SETS = ["masqueraded", "sources", "returning", "linked", "published", "published-any", "direct", "within-trust", "open", "routed"] as const;
export const setOf = (name: (typeof SETS)[number], family: IpFamily): string => (family === 4 ? name : `${name}6`);
/** The map of ranges of a protocol. */
export const rangesOf = (protocol: PortProtocol, family: IpFamily): string => `published-${protocol}-ranges${family === 4 ? "" : "6"}`;

export const addressType = (family: IpFamily): NftType => TRAITS[family].type;
export const loopbackOf = (family: IpFamily): IpPrefix => TRAITS[family].loopback;
/** 32-bit registers that an address takes. */
export const wordsOf = (family: IpFamily): number => TRAITS[family].length / 4;

const equals = (value: Uint8Array): NftExpression => ({ expr: "compare", register: 1, equal: true, value });

export const isFamily = (family: IpFamily): NftExpression[] => [{ expr: "meta", key: "nfproto", register: 1 }, equals(Uint8Array.of(TRAITS[family].number))];
export const isIcmp = (family: IpFamily): NftExpression[] => [...isFamily(family), { expr: "meta", key: "l4proto", register: 1 }, equals(Uint8Array.of(TRAITS[family].icmp))];

export function addressField(family: IpFamily, end: "source" | "destination", register = 1): NftExpression {
  const traits = TRAITS[family];
  return { expr: "payload", base: "network", offset: traits[end], length: traits.length, register };
}

/** The packet's address is the family's loopback. */
export function isLoopback(family: IpFamily, end: "source" | "destination"): NftExpression[] {
  const { loopback, length } = TRAITS[family];
  const mask = ipToBytes({ family, value: lastAddress({ address: { family, value: 0n }, length: 0 }).value ^ (lastAddress(loopback).value ^ networkOf(loopback).address.value) });
  const masked: NftExpression[] = loopback.length === length * 8 ? [] : [{ expr: "bitwise", register: 1, mask }];
  return [...isFamily(family), addressField(family, end), ...masked, equals(ipToBytes(networkOf(loopback).address))];
}

const LINK_LOCAL = { first: ipToBytes({ family: 6, value: 0xfe80n << 112n }), last: ipToBytes({ family: 6, value: (0xfec0n << 112n) - 1n }) };

/** fe80::/10. */
export const isLinkLocal = (end: "source" | "destination"): NftExpression[] => [...isFamily(6), addressField(6, end), { expr: "range", register: 1, ...LINK_LOCAL }];

export const destinationPort = (register: number): NftExpression => ({ expr: "payload", base: "transport", offset: 2, length: 2, register });
export const protocolAddressPort = (family: IpFamily): NftExpression[] => [{ expr: "meta", key: "l4proto", register: word(0) }, addressField(family, "destination", word(1)), destinationPort(word(1 + wordsOf(family)))];

/** A prefix at an interface, as an element of `returning`. */
export const atInterface = (prefix: IpPrefix, name: string): NftElement => ({
  key: concatenation(ipToBytes(networkOf(prefix).address), ifname(name)),
  last: concatenation(ipToBytes(lastAddress(prefix)), ifname(name)),
});

/** A prefix as an element of an interval set. */
export function intervalOf(prefix: IpPrefix): NftElement {
  const { family } = prefix.address;
  const last = lastAddress(prefix).value;
  const key = ipToBytes(networkOf(prefix).address);
  return last === lastAddress({ address: prefix.address, length: 0 }).value ? { key } : { key, end: ipToBytes({ family, value: last + 1n }) };
}
