/**
 * The one nftables table of the bridge driver: static rules, and sets and maps that networks and published ports are elements
 * of. Made as a whole in one transaction, so it is never half there; publishing a port later is one element.
 *
 *   martians      prerouting -300   127.0.0.0/8 never crosses our bridges (route_localnet would open the host's loopback)
 *   publish       nat prerouting and output -100   packets to a local address, by the published maps
 *   masquerade    nat postrouting 100   what leaves our subnets for elsewhere than our bridges; what comes back to its own
 *                 subnet, or from the host's loopback, through a published port: its answers would miss the way back
 *   forward       filter forward -10   what comes from and goes to our bridges, by the chain containers: answers and published
 *                 ports in, within a network as `pairs` says, nothing else in
 *   allow         accepts; with a passage it marks, for the rule that lets marked packets pass other programs' chains
 */
import { PORT_PROTOCOLS } from "../../core/network-ports.ts";
import type { PortProtocol } from "../../core/network-ports.ts";
import { ipToBytes, lastAddress, networkOf } from "../../lib/ip.ts";
import type { IpPrefix } from "../../lib/ip.ts";
import { markPassage } from "./passage.ts";
import { PROTOCOL_NUMBER, publishedElements, rangesOf } from "./published.ts";
import type { Publication } from "./published.ts";
import { concatenation, ifname } from "../../sys/netlink/nftables.ts";
import type { NftChange, NftElement, NftTable, NftTransaction } from "../../sys/netlink/nftables.ts";
import { ADDRESS_TYPE_LOCAL, CT_STATE, CT_STATUS_DNAT, VERDICT_REGISTER, hostWord, word } from "../../sys/netlink/nftables-expression.ts";
import type { NftExpression } from "../../sys/netlink/nftables-expression.ts";

export interface FirewallNetwork {
  bridge: string;
  /** IPv4. */
  subnets: IpPrefix[];
  /** IPv4 subnets whose packets leave with the host's address. */
  masquerade: IpPrefix[];
  /** Packets may go from container to container; frames are the ports' business. */
  icc: boolean;
}

/** How the table is protected: see the driver's claim(). */
export type Ownership = "claim" | "take-over" | "none";

const NFPROTO_IPV4 = 2;
const LOOPBACK = { mask: Uint8Array.of(255, 0, 0, 0), network: Uint8Array.of(127, 0, 0, 0) };
const IPV4_SOURCE = 12;
const IPV4_DESTINATION = 16;

export interface FirewallState {
  networks: readonly FirewallNetwork[];
  publications: readonly Publication[];
  /** What is accepted gets the passage's mark. */
  passage: boolean;
}

/** Replaces the table by the state given, whatever it held before. */
export function firewallTransaction(table: NftTable, { networks, publications, passage }: FirewallState, ownership: Ownership): NftTransaction {
  const protection = ownership === "none" ? {} : { owner: true, persist: true };
  const clear: NftChange[] = [ownership === "claim" ? { op: "addTable", ...protection } : { op: "addTable" }, { op: "deleteTable" }, { op: "addTable", ...protection }];
  return { table, changes: [...clear, ...sets(), ...chains(), ...rules(passage), ...elements(networks), ...publishedElements("addElements", publications)] };
}

export function removalTransaction(table: NftTable): NftTransaction {
  return { table, changes: [{ op: "addTable" }, { op: "deleteTable" }] };
}

function sets(): NftChange[] {
  return [
    { op: "addSet", set: { name: "bridges", key: ["ifname"] } },
    { op: "addSet", set: { name: "pairs", key: ["ifname", "ifname"], value: "verdict" } },
    { op: "addSet", set: { name: "masqueraded", key: ["ipv4"], interval: true } },
    { op: "addSet", set: { name: "returning", key: ["ipv4", "ifname"], interval: true } },
    { op: "addSet", set: { name: "published", key: ["protocol", "ipv4", "port"], value: ["ipv4", "port"] } },
    { op: "addSet", set: { name: "published-any", key: ["protocol", "port"], value: ["ipv4", "port"] } },
    ...PORT_PROTOCOLS.map((protocol): NftChange => ({ op: "addSet", set: { name: rangesOf(protocol), key: ["port"], value: ["ipv4"], interval: true } })),
  ];
}

/** Before other programs' chains, which see the mark. */
const FORWARD_PRIORITY = -10;

function chains(): NftChange[] {
  const base = (name: string, type: "filter" | "nat", hook: "prerouting" | "forward" | "output" | "postrouting", priority: number): NftChange => ({ op: "addChain", chain: { name, base: { type, hook, priority, policy: "accept" } } });
  return [
    { op: "addChain", chain: { name: "publish" } },
    base("martians", "filter", "prerouting", -300),
    base("published-in", "nat", "prerouting", -100),
    base("published-own", "nat", "output", -100),
    base("masquerade", "nat", "postrouting", 100),
    { op: "addChain", chain: { name: "allow" } },
    { op: "addChain", chain: { name: "containers" } },
    base("forward", "filter", "forward", FORWARD_PRIORITY),
  ];
}

function rules(passage: boolean): NftChange[] {
  const rule = (chain: string, comment: string, ...expressions: NftExpression[]): NftChange => ({ op: "addRule", chain, expressions, ...(comment === "" ? {} : { comment }) });
  return [
    rule("martians", "loopback addresses stay on this host", ...fromBridge(), ...loopback(IPV4_DESTINATION), { expr: "verdict", verdict: "drop" }),
    rule("martians", "loopback addresses are no source", ...fromBridge(), ...loopback(IPV4_SOURCE), { expr: "verdict", verdict: "drop" }),
    rule("published-in", "loopback addresses are not this host's for others", ...loopback(IPV4_DESTINATION), { expr: "verdict", verdict: "return" }),
    rule("published-in", "to this host", ...toLocalAddress(), { expr: "verdict", verdict: "jump", chain: "publish" }),
    rule("published-own", "to this host", ...toLocalAddress(), { expr: "verdict", verdict: "jump", chain: "publish" }),
    rule("publish", "ports of one address", ...isIpv4(), ...protocolAddressPort(), { expr: "lookup", set: "published", register: word(0), to: word(8) }, { expr: "dnat", family: 4, address: word(8), port: word(9) }),
    rule("publish", "ports of every address", ...isIpv4(), ...protocolPort(), { expr: "lookup", set: "published-any", register: word(0), to: word(8) }, { expr: "dnat", family: 4, address: word(8), port: word(9) }),
    ...PORT_PROTOCOLS.map((protocol) => rule("publish", `ranges of ${protocol} ports`, ...isIpv4(), ...isProtocol(protocol), destinationPort(1), { expr: "lookup", set: rangesOf(protocol), register: 1, to: word(8) }, { expr: "dnat", family: 4, address: word(8) })),
    rule("masquerade", "containers to the outside", ...isIpv4(), ipv4Field(IPV4_SOURCE), { expr: "lookup", set: "masqueraded", register: 1 }, ...notToBridge(), { expr: "masquerade" }),
    rule("masquerade", "published ports to their own subnet", ...isIpv4(), { expr: "ct", key: "status", register: 1 }, ...anyBit(CT_STATUS_DNAT), ipv4Field(IPV4_SOURCE, word(0)), { expr: "meta", key: "oifname", register: word(1) }, { expr: "lookup", set: "returning", register: word(0) }, { expr: "masquerade" }),
    rule("forward", "from containers", ...fromBridge(), { expr: "verdict", verdict: "goto", chain: "containers" }),
    rule("forward", "to containers", { expr: "meta", key: "oifname", register: 1 }, { expr: "lookup", set: "bridges", register: 1 }, { expr: "verdict", verdict: "goto", chain: "containers" }),
    rule("containers", "answers", { expr: "ct", key: "state", register: 1 }, ...anyBit(CT_STATE.established | CT_STATE.related), ALLOW),
    rule("containers", "published ports", { expr: "ct", key: "status", register: 1 }, ...anyBit(CT_STATUS_DNAT), ALLOW),
    rule("containers", "within a network", { expr: "meta", key: "iifname", register: word(0) }, { expr: "meta", key: "oifname", register: word(4) }, { expr: "lookup", set: "pairs", register: word(0), to: VERDICT_REGISTER }),
    rule("containers", "nothing else reaches containers", { expr: "meta", key: "oifname", register: 1 }, { expr: "lookup", set: "bridges", register: 1 }, { expr: "verdict", verdict: "drop" }),
    rule("containers", "to the outside", ALLOW),
    ...(passage ? [rule("allow", "for the passage through other programs' chains", ...markPassage())] : []),
    rule("allow", "", { expr: "verdict", verdict: "accept" }),
  ];
}

const ALLOW: NftExpression = { expr: "verdict", verdict: "goto", chain: "allow" };
const fromBridge = (): NftExpression[] => [
  { expr: "meta", key: "iifname", register: 1 },
  { expr: "lookup", set: "bridges", register: 1 },
];
const notToBridge = (): NftExpression[] => [
  { expr: "meta", key: "oifname", register: 1 },
  { expr: "lookup", set: "bridges", register: 1, invert: true },
];
const isIpv4 = (): NftExpression[] => [
  { expr: "meta", key: "nfproto", register: 1 },
  { expr: "compare", register: 1, equal: true, value: Uint8Array.of(NFPROTO_IPV4) },
];
const isProtocol = (protocol: PortProtocol): NftExpression[] => [
  { expr: "meta", key: "l4proto", register: 1 },
  { expr: "compare", register: 1, equal: true, value: Uint8Array.of(PROTOCOL_NUMBER[protocol]) },
];
const ipv4Field = (offset: number, register = 1): NftExpression => ({ expr: "payload", base: "network", offset, length: 4, register });
const loopback = (offset: number): NftExpression[] => [...isIpv4(), ipv4Field(offset), { expr: "bitwise", register: 1, mask: LOOPBACK.mask }, { expr: "compare", register: 1, equal: true, value: LOOPBACK.network }];
const anyBit = (bits: number): NftExpression[] => [
  { expr: "bitwise", register: 1, mask: hostWord(bits) },
  { expr: "compare", register: 1, equal: false, value: hostWord(0) },
];
const toLocalAddress = (): NftExpression[] => [
  { expr: "fib", result: "type", flags: ["daddr"], register: 1 },
  { expr: "compare", register: 1, equal: true, value: hostWord(ADDRESS_TYPE_LOCAL) },
];
const destinationPort = (register: number): NftExpression => ({ expr: "payload", base: "transport", offset: 2, length: 2, register });
const protocolAddressPort = (): NftExpression[] => [{ expr: "meta", key: "l4proto", register: word(0) }, ipv4Field(IPV4_DESTINATION, word(1)), destinationPort(word(2))];
const protocolPort = (): NftExpression[] => [{ expr: "meta", key: "l4proto", register: word(0) }, destinationPort(word(1))];

function elements(networks: readonly FirewallNetwork[]): NftChange[] {
  const filled: NftChange[] = [
    { op: "addElements", set: "bridges", elements: networks.map(({ bridge }) => ({ key: ifname(bridge) })) },
    { op: "addElements", set: "pairs", elements: networks.map(({ bridge, icc }) => ({ key: concatenation(ifname(bridge), ifname(bridge)), value: icc ? { verdict: "goto", chain: "allow" } : { verdict: "drop" } })) },
    { op: "addElements", set: "masqueraded", elements: networks.flatMap(({ masquerade }) => masquerade.map(interval)) },
    { op: "addElements", set: "returning", elements: networks.flatMap(({ bridge, subnets }) => [...subnets, LOOPBACK_PREFIX].map((prefix) => returning(prefix, bridge))) },
  ];
  return filled.filter((change) => change.op === "addElements" && change.elements.length > 0);
}

const LOOPBACK_PREFIX: IpPrefix = { address: { family: 4, value: 0x7f000000n }, length: 8 };

const returning = (prefix: IpPrefix, bridge: string): NftElement => ({
  key: concatenation(ipToBytes(networkOf(prefix).address), ifname(bridge)),
  last: concatenation(ipToBytes(lastAddress(prefix)), ifname(bridge)),
});

function interval(subnet: IpPrefix): NftElement {
  const end = lastAddress(subnet);
  const key = ipToBytes(networkOf(subnet).address);
  return end.value === 0xffffffffn ? { key } : { key, end: ipToBytes({ family: 4, value: end.value + 1n }) };
}
