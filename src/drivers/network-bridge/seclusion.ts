/**
 * Networks whose containers do not reach each other (enable_icc=false), in the bridge family's table: frames from one of their
 * ports to another are dropped, but for what the other table has accepted (where bridges call it), links, and questions for
 * hardware addresses.
 */
import { forgetAnnex, forgetRedirection, isEcho } from "./annex-rules.ts";
import { FAMILIES, setOf } from "./firewall-family.ts";
import { linkFields, linkKey } from "./links.ts";
import { isMarked } from "./passage.ts";
import type { NftChange } from "../../sys/netlink/nftables.ts";
import { word } from "../../sys/netlink/nftables-expression.ts";
import type { NftExpression } from "../../sys/netlink/nftables-expression.ts";

/** Behind the place where bridges call the other table. */
const PRIORITY = 100;
const ETHERNET = { 4: Uint8Array.of(0x08, 0x00), arp: Uint8Array.of(0x08, 0x06), 6: Uint8Array.of(0x86, 0xdd) } as const;
const ICMPV6 = Uint8Array.of(58);
const NEIGHBOUR = { first: Uint8Array.of(135), last: Uint8Array.of(136) } as const;
const ACCEPT: NftExpression = { expr: "verdict", verdict: "accept" };

export interface SeclusionNeeds {
  /** There are, or were, ports that it is about: all others' frames are spared it. */
  secluded: boolean;
  /** There are annexes. */
  annexed: boolean;
}

/** Sets that are there already keep their elements. */
export function seclusionFrame({ secluded, annexed }: SeclusionNeeds): NftChange[] {
  return [
    { op: "addSet", set: { name: "secluded", key: ["ifname"] } },
    { op: "addSet", set: { name: "links", key: ["ifname", "ifname"] } },
    ...FAMILIES.map((family): NftChange => ({ op: "addSet", set: { name: setOf("linked", family), key: linkKey(family) } })),
    ...(secluded || annexed ? [...chain(), ...(annexed ? annexRules() : []), ...rules()] : []),
  ];
}

const chain = (): NftChange[] => [
  { op: "addChain", chain: { name: "between", base: { type: "filter", hook: "forward", priority: PRIORITY, policy: "accept" } } },
  { op: "flushChain", chain: "between" },
];

const rule = (comment: string, ...expressions: NftExpression[]): NftChange => ({ op: "addRule", chain: "between", expressions, comment });

function annexRules(): NftChange[] {
  return [
    rule("accepted at an annex", ...forgetAnnex()),
    rule("back to the annex that it came from", ...isEcho("links"), { expr: "verdict", verdict: "drop" }),
    rule("a mark that has had its use", ...forgetRedirection()),
  ];
}

function rules(): NftChange[] {
  return [
    rule("from others", ...port("iifname"), ACCEPT),
    rule("to others", ...port("oifname"), ACCEPT),
    rule("accepted already", ...isMarked(), ACCEPT),
    rule("hardware addresses", ...isType("arp"), ACCEPT),
    rule("hardware addresses of IPv6", ...isType(6), { expr: "meta", key: "l4proto", register: 1 }, equals(ICMPV6), { expr: "payload", base: "transport", offset: 0, length: 1, register: 1 }, { expr: "range", register: 1, ...NEIGHBOUR }, ACCEPT),
    ...FAMILIES.flatMap((family) => [false, true].map((answer) => rule(answer ? "answers of linked ports" : "linked ports", ...isType(family), ...linkFields(family, { answer }), { expr: "lookup", set: setOf("linked", family), register: word(0) }, ACCEPT))),
    rule("nothing else", { expr: "verdict", verdict: "drop" }),
  ];
}

const equals = (value: Uint8Array): NftExpression => ({ expr: "compare", register: 1, equal: true, value });
const isType = (type: keyof typeof ETHERNET): NftExpression[] => [{ expr: "meta", key: "protocol", register: 1 }, equals(ETHERNET[type])];
/** It is no port of theirs. */
const port = (key: "iifname" | "oifname"): NftExpression[] => [
  { expr: "meta", key, register: 1 },
  { expr: "lookup", set: "secluded", register: 1, invert: true },
];
