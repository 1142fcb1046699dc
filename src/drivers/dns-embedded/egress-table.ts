/**
 * Where the packets of limited sandboxes may go, as an nftables table of the name server: it goes on while the daemon is away, and
 * so do the addresses that names stand for, which the server adds before it answers.
 *
 *   sandboxes4, sandboxes6   maps: a container's address ▶ jump to its chain
 *   forward, input           base chains before all others (-20), which look there
 *   c-ID                     answers and what continues, then a rule for each allowed target, then denied
 *   c-ID-N-4, c-ID-N-6       sets: the addresses of the N-th rule's names, each for as long as it is good
 *   denied                   told of (limited), refused so that the program does not wait
 */
import type { EgressOwner } from "../../core/name-service.ts";
import { lastAddress, networkOf, ipToBytes } from "../../lib/ip.ts";
import type { IpAddress } from "../../lib/ip.ts";
import type { EgressRule } from "../../lib/egress.ts";
import { portBytes } from "../../sys/netlink/nftables.ts";
import type { NftChange } from "../../sys/netlink/nftables.ts";
import { CT_STATE, VERDICT_REGISTER, hostWord } from "../../sys/netlink/nftables-expression.ts";
import type { NftExpression } from "../../sys/netlink/nftables-expression.ts";

export interface Limited {
  /** Of the sandbox; names its chain. */
  id: string;
  sources: readonly IpAddress[];
  rules: readonly EgressRule[];
  owner: EgressOwner;
}

/** Before the firewall's own forward chain. */
const PRIORITY = -20;
const PROTOCOL = { tcp: 6, udp: 17, icmpv6: 58 } as const;
const NFPROTO = { 4: 2, 6: 10 } as const;
const FAMILIES = [4, 6] as const;
type Family = (typeof FAMILIES)[number];
const SOURCE = { 4: { offset: 12, length: 4 }, 6: { offset: 8, length: 16 } } as const;
const DESTINATION = { 4: { offset: 16, length: 4 }, 6: { offset: 24, length: 16 } } as const;
const TYPES = { 4: "ipv4", 6: "ipv6" } as const;
const NEIGHBOUR_MESSAGES = { first: Uint8Array.of(135), last: Uint8Array.of(136) };
export const LOGGED_BYTES = 64;

const chainOf = (id: string): string => `c-${id.slice(0, 12)}`;
/** Of the addresses that the names of a rule stand for. */
export const setOf = (id: string, rule: number, family: Family): string => `${chainOf(id)}-${rule}-${family}`;
const sandboxesOf = (family: Family): string => `sandboxes${family}`;

/** The table without sandboxes. */
export function frame(logGroup: number): NftChange[] {
  const base = (hook: "forward" | "input"): NftChange[] => [
    { op: "addChain", chain: { name: hook, base: { type: "filter", hook, priority: PRIORITY, policy: "accept" } } },
    ...FAMILIES.map((family): NftChange => ({ op: "addRule", chain: hook, expressions: [...isFamily(family), { expr: "payload", base: "network", ...SOURCE[family], register: 1 }, { expr: "lookup", set: sandboxesOf(family), register: 1, to: VERDICT_REGISTER }] })),
  ];
  return [
    ...FAMILIES.map((family): NftChange => ({ op: "addSet", set: { name: sandboxesOf(family), key: [TYPES[family]], value: "verdict" } })),
    { op: "addChain", chain: { name: "denied" } },
    ...deniedRules(logGroup),
    ...base("forward"),
    ...base("input"),
  ];
}

function deniedRules(group: number): NftChange[] {
  const rule = (...expressions: NftExpression[]): NftChange => ({ op: "addRule", chain: "denied", expressions });
  return [
    rule(...isProtocol(PROTOCOL.icmpv6), { expr: "payload", base: "transport", offset: 0, length: 1, register: 1 }, { expr: "range", register: 1, ...NEIGHBOUR_MESSAGES }, { expr: "verdict", verdict: "accept" }),
    rule({ expr: "limit", perSecond: 20, burst: 50 }, { expr: "log", group, prefix: "", bytes: LOGGED_BYTES }),
    rule(...isProtocol(PROTOCOL.tcp), { expr: "reject", with: "tcp-reset" }),
    rule({ expr: "reject", with: "admin-prohibited" }),
  ];
}

export function additionOf({ id, sources, rules }: Limited): NftChange[] {
  const chain = chainOf(id);
  const sets = rules.flatMap(({ target }, index) => (target.kind === "name" ? FAMILIES.map((family): NftChange => ({ op: "addSet", set: { name: setOf(id, index, family), key: [TYPES[family]], timeout: true } })) : []));
  const continued: NftChange = { op: "addRule", chain, expressions: [{ expr: "ct", key: "state", register: 1 }, { expr: "bitwise", register: 1, mask: hostWord(CT_STATE.established | CT_STATE.related) }, { expr: "compare", register: 1, equal: false, value: hostWord(0) }, { expr: "verdict", verdict: "accept" }] };
  const allowed = rules.flatMap((rule, index) => targetsOf(id, rule, index).map((target): NftChange => ({ op: "addRule", chain, expressions: [...target, ...portsOf(rule), { expr: "verdict", verdict: "accept" }] })));
  return [
    { op: "addChain", chain: { name: chain } },
    ...sets,
    continued,
    ...allowed,
    { op: "addRule", chain, expressions: [{ expr: "verdict", verdict: "goto", chain: "denied" }] },
    ...sources.map((source): NftChange => ({ op: "addElements", set: sandboxesOf(source.family), elements: [{ key: ipToBytes(source), value: { verdict: "goto", chain } }] })),
  ];
}

export function removalOf({ id, sources, rules }: Limited): NftChange[] {
  return [
    ...sources.map((source): NftChange => ({ op: "deleteElements", set: sandboxesOf(source.family), elements: [{ key: ipToBytes(source) }] })),
    { op: "deleteChain", chain: chainOf(id) },
    ...rules.flatMap(({ target }, index) => (target.kind === "name" ? FAMILIES.map((family): NftChange => ({ op: "deleteSet", set: setOf(id, index, family) })) : [])),
  ];
}

const isFamily = (family: Family): NftExpression[] => [
  { expr: "meta", key: "nfproto", register: 1 },
  { expr: "compare", register: 1, equal: true, value: Uint8Array.of(NFPROTO[family]) },
];
const isProtocol = (number: number): NftExpression[] => [
  { expr: "meta", key: "l4proto", register: 1 },
  { expr: "compare", register: 1, equal: true, value: Uint8Array.of(number) },
];

/** The rule's destinations, for each family that it has some of. */
function targetsOf(id: string, { target }: EgressRule, index: number): NftExpression[][] {
  if (target.kind === "name") return FAMILIES.map((family) => [...isFamily(family), { expr: "payload", base: "network", ...DESTINATION[family], register: 1 }, { expr: "lookup", set: setOf(id, index, family), register: 1 }]);
  const { family } = target.prefix.address;
  return [[...isFamily(family), { expr: "payload", base: "network", ...DESTINATION[family], register: 1 }, { expr: "range", register: 1, first: ipToBytes(networkOf(target.prefix).address), last: ipToBytes(lastAddress(target.prefix)) }]];
}

function portsOf({ protocol, ports: { first, last } }: EgressRule): NftExpression[] {
  const every = first === 0 && last === 65535;
  const kinds: NftExpression[] = protocol === "any" ? (every ? [] : [{ expr: "meta", key: "l4proto", register: 1 }, { expr: "range", register: 1, first: Uint8Array.of(PROTOCOL.tcp), last: Uint8Array.of(PROTOCOL.udp) }]) : isProtocol(PROTOCOL[protocol]);
  if (every) return kinds;
  return [...kinds, { expr: "payload", base: "transport", offset: 2, length: 2, register: 1 }, { expr: "range", register: 1, first: portBytes(first), last: portBytes(last) }];
}
