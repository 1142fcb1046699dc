/**
 * The one nftables table of the bridge driver: static rules, and sets and maps that networks and published ports are elements
 * of. Made as a whole in one transaction, so it is never half there; a network or a port later is a few elements. What there is
 * for IPv4 there is for IPv6, in sets whose names end in 6.
 *
 *   martians      prerouting -300   loopback addresses never cross our bridges (route_localnet would open the host's loopback)
 *   publish       nat prerouting and output -100   packets to a local address, by the published maps
 *   asked         filter input 1000   where the host's firewall is honoured: what it let in of these is marked, for the detour
 *   masquerade    nat postrouting 100   what leaves our subnets for elsewhere than our bridges; what comes back to its own
 *                 subnet, or from the host's loopback, through a published port: its answers would miss the way back
 *   forward       filter forward -10   what comes from and goes to our bridges, by the chain containers: answers and published
 *                 ports in, within a network as `pairs` says, what networks with other gateway modes let in, nothing else
 *   secluded      of internal networks: within them only, as `pairs` says
 *   allow         marks and accepts: where the mark counts, other programs' chains and ports of a bridge let the packet pass
 */
import { PORT_PROTOCOLS } from "../../core/network-ports.ts";
import type { PortProtocol } from "../../core/network-ports.ts";
import { ipToBytes } from "../../lib/ip.ts";
import type { IpAddress, IpFamily, IpPrefix } from "../../lib/ip.ts";
import { FAMILIES, addressField, addressType, atInterface, destinationPort, intervalOf, isFamily, isIcmp, isLinkLocal, isLoopback, loopbackOf, protocolAddressPort, rangesOf, setOf, wordsOf } from "./firewall-family.ts";
import { annexRules } from "./annex-rules.ts";
import { ASKED_PRIORITY } from "./detour.ts";
import { linkElements, linkFields, linkKey } from "./links.ts";
import type { Link } from "./links.ts";
import { markPassage, unmark } from "./passage.ts";
import { PROTOCOL_NUMBER, publishedElements } from "./published.ts";
import type { Publication, PublishRules } from "./published.ts";
import { concatenation, ifname } from "../../sys/netlink/nftables.ts";
import type { NftChange, NftElement, NftTable, NftTransaction } from "../../sys/netlink/nftables.ts";
import { ADDRESS_TYPE_LOCAL, CT_STATE, CT_STATUS_DNAT, VERDICT_REGISTER, hostWord, word } from "../../sys/netlink/nftables-expression.ts";
import type { NftExpression } from "../../sys/netlink/nftables-expression.ts";

export interface FirewallNetwork {
  bridge: string;
  subnets: readonly IpPrefix[];
  /** Subnets whose packets leave with the host's address. */
  masquerade: readonly IpPrefix[];
  /** With this one of it; absent: with that of the interface. */
  sources: Partial<Record<IpFamily, IpAddress>>;
  /** Packets may go from container to container; frames are the ports' business. */
  icc: boolean;
  /** Nothing leaves it, and nobody else comes in. */
  internal: boolean;
  /** Families whose addresses are reached from everywhere, at every port. */
  open: readonly IpFamily[];
  /** Families whose addresses are reached from everywhere, at published ports and by ICMP. */
  routed: readonly IpFamily[];
  /** Interfaces of the host from which published ports are reached at containers' own addresses too. */
  trusted: readonly string[];
}

/** What a daemon's settings say of all networks. */
export interface FirewallRules {
  /** Rules for IPv6 too; false: its packets are left alone. */
  ipv6: boolean;
  /** Published ports are reached from outside at containers' own addresses too. */
  directRouting: boolean;
  /** What carries this mark reaches containers by their own addresses. */
  acceptMark?: { value: number; mask: number };
}

export interface FirewallState {
  networks: ReadonlyMap<string, FirewallNetwork>;
  publications: readonly Publication[];
  links: readonly Link[];
  rules: FirewallRules;
  /** The detour's entrance: only what comes in there is redirected; absent: everything. */
  entrance?: string;
  /** Others than the kernel answer at ::1. */
  relayed6?: boolean;
  /** What the names of annexes begin with; absent: there are none. */
  annexes?: string;
}

export const publishRules = (networks: ReadonlyMap<string, FirewallNetwork>, { directRouting }: FirewallRules): PublishRules => ({ directRouting, trusting: (id) => (networks.get(id)?.trusted.length ?? 0) > 0 });

/** What the table holds, from empty. */
export const firewallChanges = ({ networks, publications, links, rules, entrance, relayed6 = false, annexes }: FirewallState): NftChange[] => [
  ...sets(),
  ...chains(),
  ...(annexes === undefined ? [] : annexRules(annexes)),
  ...rulesFor(rules, entrance, relayed6),
  ...(entrance === undefined ? [] : asked(entrance)),
  ...networkElements("addElements", [...networks.values()]),
  ...publishedElements("addElements", publications, publishRules(networks, rules)),
  ...linkElements("addElements", links),
];

export function removalTransaction(table: NftTable): NftTransaction {
  return { table, changes: [{ op: "addTable" }, { op: "deleteTable" }] };
}

const addSet = (set: Extract<NftChange, { op: "addSet" }>["set"]): NftChange => ({ op: "addSet", set });

function sets(): NftChange[] {
  return [
    addSet({ name: "bridges", key: ["ifname"] }),
    addSet({ name: "internal", key: ["ifname"] }),
    addSet({ name: "trusted", key: ["ifname", "ifname"] }),
    addSet({ name: "pairs", key: ["ifname", "ifname"], value: "verdict" }),
    ...FAMILIES.flatMap((family) => [
      addSet({ name: setOf("masqueraded", family), key: [addressType(family)], interval: true }),
      addSet({ name: setOf("sources", family), key: [addressType(family)], value: [addressType(family)], interval: true }),
      addSet({ name: setOf("linked", family), key: linkKey(family) }),
      addSet({ name: setOf("returning", family), key: [addressType(family), "ifname"], interval: true }),
      addSet({ name: setOf("published", family), key: ["protocol", addressType(family), "port"], value: [addressType(family), "port"] }),
      addSet({ name: setOf("published-any", family), key: ["protocol", "port"], value: [addressType(family), "port"] }),
      addSet({ name: setOf("direct", family), key: ["protocol", addressType(family), "port"] }),
      addSet({ name: setOf("within-trust", family), key: ["protocol", addressType(family), "port"] }),
      addSet({ name: setOf("open", family), key: ["ifname"] }),
      addSet({ name: setOf("routed", family), key: ["ifname"] }),
      ...PORT_PROTOCOLS.map((protocol) => addSet({ name: rangesOf(protocol, family), key: ["port"], value: [addressType(family)], interval: true })),
    ]),
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
    { op: "addChain", chain: { name: "secluded" } },
    { op: "addChain", chain: { name: "containers" } },
    base("forward", "filter", "forward", FORWARD_PRIORITY),
  ];
}

const rule = (chain: string, comment: string, ...expressions: NftExpression[]): NftChange => ({ op: "addRule", chain, expressions, ...(comment === "" ? {} : { comment }) });

function rulesFor({ ipv6, acceptMark }: FirewallRules, entrance: string | undefined, relayed6: boolean): NftChange[] {
  const families = FAMILIES.filter((family) => family === 4 || ipv6);
  return [
    ...families.flatMap((family) => [
      // Each packet of the host meets these: what is rare is asked first, and no set.
      rule("martians", "loopback addresses stay on this host", ...isLoopback(family, "destination"), ...from("bridges"), DROP),
      rule("martians", "loopback addresses are no source", ...isLoopback(family, "source"), ...from("bridges"), DROP),
      rule("published-in", "loopback addresses are not this host's for others", ...isLoopback(family, "destination"), { expr: "verdict", verdict: "return" }),
    ]),
    ...families.flatMap((family) => (family === 6 ? ["published-in", "published-own"] : []).map((chain) => rule(chain, "what is sent to link-local addresses is not forwarded", ...isLinkLocal("destination"), { expr: "verdict", verdict: "return" }))),
    rule("published-in", "to this host", ...(entrance === undefined ? [] : isInterface(entrance)), ...toLocalAddress(), { expr: "verdict", verdict: "jump", chain: "publish" }),
    ...(relayed6 ? [rule("published-own", "a relay answers at this address", ...isLoopback(6, "destination"), { expr: "verdict", verdict: "return" })] : []),
    rule("published-own", "to this host", ...toLocalAddress(), { expr: "verdict", verdict: "jump", chain: "publish" }),
    ...families.flatMap((family) => publishedLookups(family).map(({ comment, expressions, redirect }) => rule("publish", comment, ...expressions, redirect))),
    ...families.flatMap((family) => [
      rule("masquerade", "containers to the outside, with an address of their network's", ...isFamily(family), ...notToBridge(), addressField(family, "source"), { expr: "lookup", set: setOf("sources", family), register: 1, to: word(8) }, { expr: "snat", family, address: word(8) }),
      rule("masquerade", "containers to the outside", ...isFamily(family), addressField(family, "source"), { expr: "lookup", set: setOf("masqueraded", family), register: 1 }, ...notToBridge(), { expr: "masquerade" }),
      rule("masquerade", "published ports to their own subnet", ...isFamily(family), ...wasPublished(), addressField(family, "source", word(0)), { expr: "meta", key: "oifname", register: word(wordsOf(family)) }, { expr: "lookup", set: setOf("returning", family), register: word(0) }, { expr: "masquerade" }),
    ]),
    ...(ipv6 ? [] : [rule("forward", "IPv6 is left alone", ...isFamily(6), { expr: "verdict", verdict: "accept" })]),
    rule("forward", "from containers", ...from("bridges"), { expr: "verdict", verdict: "goto", chain: "containers" }),
    rule("forward", "to containers", ...to("bridges"), { expr: "verdict", verdict: "goto", chain: "containers" }),
    rule("containers", "answers", { expr: "ct", key: "state", register: 1 }, ...anyBit(CT_STATE.established | CT_STATE.related), ALLOW),
    rule("containers", "from internal networks", ...from("internal"), { expr: "verdict", verdict: "goto", chain: "secluded" }),
    rule("containers", "to internal networks", ...to("internal"), { expr: "verdict", verdict: "goto", chain: "secluded" }),
    rule("containers", "published ports", ...wasPublished(), ALLOW),
    ...(acceptMark ? [rule("containers", "what is marked to be accepted", ...hasMark(acceptMark), ALLOW)] : []),
    ...families.map((family) => rule("containers", "linked ports", ...isFamily(family), ...linkFields(family), { expr: "lookup", set: setOf("linked", family), register: word(0) }, ALLOW)),
    rule("containers", "within a network", ...byPair()),
    ...families.flatMap((family) => [
      rule("containers", "all ports of unprotected networks", ...isFamily(family), ...to(setOf("open", family)), ALLOW),
      rule("containers", "published ports of routed networks", ...isFamily(family), ...protocolAddressPort(family), { expr: "lookup", set: setOf("direct", family), register: word(0) }, ALLOW),
      rule("containers", "published ports, from trusted interfaces", ...isFamily(family), ...pairIn("trusted"), ...protocolAddressPort(family), { expr: "lookup", set: setOf("within-trust", family), register: word(0) }, ALLOW),
      rule("containers", "messages to routed networks", ...isIcmp(family), ...to(setOf("routed", family)), ALLOW),
    ]),
    rule("containers", "nothing else reaches containers", ...to("bridges"), DROP),
    rule("containers", "to the outside", ALLOW),
    rule("secluded", "within a network", ...byPair()),
    rule("secluded", "nothing else", DROP),
    rule("allow", "for other programs' chains, and between ports of a bridge", ...markPassage()),
    rule("allow", "", { expr: "verdict", verdict: "accept" }),
  ];
}

/** What finds a packet's published port: the container's address goes to the words from 8 on, its port behind it. */
function publishedLookups(family: IpFamily): { comment: string; expressions: NftExpression[]; redirect: NftExpression }[] {
  const redirect: NftExpression = { expr: "dnat", family, address: word(8), port: word(8 + wordsOf(family)) };
  const protocolPort: NftExpression[] = [{ expr: "meta", key: "l4proto", register: word(0) }, destinationPort(word(1))];
  return [
    { comment: "ports of one address", expressions: [...isFamily(family), ...protocolAddressPort(family), { expr: "lookup", set: setOf("published", family), register: word(0), to: word(8) }], redirect },
    { comment: "ports of every address", expressions: [...isFamily(family), ...protocolPort, { expr: "lookup", set: setOf("published-any", family), register: word(0), to: word(8) }], redirect },
    ...PORT_PROTOCOLS.map((protocol) => ({
      comment: `ranges of ${protocol} ports`,
      expressions: [...isFamily(family), ...isProtocol(protocol), destinationPort(1), { expr: "lookup", set: rangesOf(protocol, family), register: 1, to: word(8) } as const],
      redirect: { expr: "dnat", family, address: word(8) } as const,
    })),
  ];
}

/** Behind all input chains of others. */
function asked(entrance: string): NftChange[] {
  const done: NftExpression = { expr: "verdict", verdict: "accept" };
  return [
    { op: "addChain", chain: { name: "asked", base: { type: "filter", hook: "input", priority: ASKED_PRIORITY, policy: "accept" } } },
    rule("asked", "the host's own, which output has redirected", ...isInterface("lo"), done),
    rule("asked", "nothing is asked twice", ...isInterface(entrance), done),
    rule("asked", "what is not forwarded", ...isLinkLocal("destination"), done),
    rule("asked", "a mark of somebody else's", ...unmark()),
    rule("asked", "connections with this host", { expr: "ct", key: "state", register: 1 }, ...anyBit(CT_STATE.established | CT_STATE.related), done),
    ...FAMILIES.flatMap((family) => publishedLookups(family).map(({ comment, expressions }) => rule("asked", comment, ...expressions, ...markPassage(), done))),
  ];
}

const isInterface = (name: string): NftExpression[] => [
  { expr: "meta", key: "iifname", register: 1 },
  { expr: "compare", register: 1, equal: true, value: ifname(name) },
];

const ALLOW: NftExpression = { expr: "verdict", verdict: "goto", chain: "allow" };
const DROP: NftExpression = { expr: "verdict", verdict: "drop" };
const from = (set: string): NftExpression[] => [
  { expr: "meta", key: "iifname", register: 1 },
  { expr: "lookup", set, register: 1 },
];
const to = (set: string): NftExpression[] => [
  { expr: "meta", key: "oifname", register: 1 },
  { expr: "lookup", set, register: 1 },
];
const notToBridge = (): NftExpression[] => [
  { expr: "meta", key: "oifname", register: 1 },
  { expr: "lookup", set: "bridges", register: 1, invert: true },
];
const pairIn = (set: string, to?: number): NftExpression[] => [
  { expr: "meta", key: "iifname", register: word(0) },
  { expr: "meta", key: "oifname", register: word(4) },
  { expr: "lookup", set, register: word(0), ...(to === undefined ? {} : { to }) },
];
const byPair = (): NftExpression[] => pairIn("pairs", VERDICT_REGISTER);
const isProtocol = (protocol: PortProtocol): NftExpression[] => [
  { expr: "meta", key: "l4proto", register: 1 },
  { expr: "compare", register: 1, equal: true, value: Uint8Array.of(PROTOCOL_NUMBER[protocol]) },
];
const anyBit = (bits: number): NftExpression[] => [
  { expr: "bitwise", register: 1, mask: hostWord(bits) },
  { expr: "compare", register: 1, equal: false, value: hostWord(0) },
];
const hasMark = ({ value, mask }: { value: number; mask: number }): NftExpression[] => [
  { expr: "meta", key: "mark", register: 1 },
  { expr: "bitwise", register: 1, mask: hostWord(mask) },
  { expr: "compare", register: 1, equal: true, value: hostWord(value) },
];
const wasPublished = (): NftExpression[] => [{ expr: "ct", key: "status", register: 1 }, ...anyBit(CT_STATUS_DNAT)];
const toLocalAddress = (): NftExpression[] => [
  { expr: "fib", result: "type", flags: ["daddr"], register: 1 },
  { expr: "compare", register: 1, equal: true, value: hostWord(ADDRESS_TYPE_LOCAL) },
];

/** What networks are in the sets. */
export function networkElements(op: "addElements" | "deleteElements", networks: readonly FirewallNetwork[]): NftChange[] {
  const allow = { verdict: "goto", chain: "allow" } as const;
  const pair = (iif: string, oif: string): Uint8Array => concatenation(ifname(iif), ifname(oif));
  const filled: [set: string, elements: NftElement[]][] = [
    ["bridges", networks.map(({ bridge }) => ({ key: ifname(bridge) }))],
    ["internal", networks.filter(({ internal }) => internal).map(({ bridge }) => ({ key: ifname(bridge) }))],
    ["pairs", networks.map(({ bridge, icc }) => ({ key: pair(bridge, bridge), value: icc ? allow : { verdict: "drop" as const } }))],
    ["trusted", networks.flatMap(({ bridge, trusted }) => trusted.map((name) => ({ key: pair(name, bridge) })))],
    ...FAMILIES.flatMap((family): [string, NftElement[]][] => [
      [setOf("masqueraded", family), networks.flatMap(({ masquerade }) => masquerade.filter(isOf(family)).map(intervalOf))],
      [setOf("sources", family), networks.flatMap(({ masquerade, sources }) => masquerade.filter((prefix) => isOf(family)(prefix) && sources[family]).map((prefix) => ({ ...intervalOf(prefix), value: ipToBytes(sources[family]!) })))],
      [setOf("returning", family), networks.flatMap(({ bridge, subnets }) => [...subnets.filter(isOf(family)), loopbackOf(family)].map((prefix) => atInterface(prefix, bridge)))],
      [setOf("open", family), networks.filter(({ open }) => open.includes(family)).map(({ bridge }) => ({ key: ifname(bridge) }))],
      [setOf("routed", family), networks.filter(({ routed }) => routed.includes(family)).map(({ bridge }) => ({ key: ifname(bridge) }))],
    ]),
  ];
  return filled.filter(([, elements]) => elements.length > 0).map(([set, elements]) => ({ op, set, elements }));
}

const isOf = (family: IpFamily) => ({ address }: IpPrefix): boolean => address.family === family;
