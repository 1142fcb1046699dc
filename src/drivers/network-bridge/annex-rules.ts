/**
 * What the firewall has for annexes (annexes.ts), where bridges call it: frames that cross one are no packets of this host's yet, or
 * no more. Their connections are kept apart, so that addresses are rewritten and decisions made at the network's own bridge alone.
 */
import { ifname } from "../../sys/netlink/nftables.ts";
import type { NftChange } from "../../sys/netlink/nftables.ts";
import { CT_STATUS_DNAT, hostWord, word } from "../../sys/netlink/nftables-expression.ts";
import type { NftExpression } from "../../sys/netlink/nftables-expression.ts";
import { clearMark, hasMark, setMark, unmark } from "./passage.ts";

/** A zone of connections that other programs are not known to use. */
const ZONE = Uint8Array.of(0x79, 0x67);
/** On frames at an annex, from the firewall's forward chain to the bridge's. */
const AT_ANNEX = 0x2000_0000;
/** The same on frames between bridges of ours whose addresses are rewritten. */
const REDIRECTED = 0x4000_0000;
/** The first word behind an interface's name. */
const BEHIND_NAME = 4;
/** Before connections are looked up. */
const INPUT_PRIORITY = -300;

const by = (key: "iifname" | "oifname", prefix: string): NftExpression[] => [
  { expr: "meta", key, register: 1 },
  { expr: "compare", register: 1, equal: true, value: ifname(prefix).subarray(0, prefix.length) },
];
const atBridges: NftExpression[] = (["iifname", "oifname"] as const).flatMap((key) => [{ expr: "meta", key, register: 1 }, { expr: "lookup", set: "bridges", register: 1 }]);
const rule = (chain: string, comment: string, ...expressions: NftExpression[]): NftChange => ({ op: "addRule", chain, expressions, comment });

/** At the heads of chains that there are already. `prefix`: what the names of annexes begin with. */
export function annexRules(prefix: string): NftChange[] {
  return [
    { op: "addChain", chain: { name: "annexes", base: { type: "filter", hook: "input", priority: INPUT_PRIORITY, policy: "accept" } } },
    rule("annexes", "nothing of this host is there", ...by("iifname", prefix), { expr: "verdict", verdict: "drop" }),
    rule("martians", "connections at annexes are others", ...by("iifname", prefix), { expr: "value", register: 1, value: ZONE }, { expr: "ctWrite", key: "zone", register: 1 }),
    rule("published-in", "not at annexes", ...by("iifname", prefix), { expr: "verdict", verdict: "return" }),
    rule("masquerade", "not at annexes", ...by("oifname", prefix), { expr: "verdict", verdict: "return" }),
    rule("forward", "across annexes", ...by("iifname", prefix), ...by("oifname", prefix), ...setMark(AT_ANNEX), { expr: "verdict", verdict: "goto", chain: "allow" }),
    rule("forward", "annexes are no way out", ...by("iifname", prefix), { expr: "verdict", verdict: "drop" }),
    rule("forward", "annexes are no way in", ...by("oifname", prefix), { expr: "verdict", verdict: "drop" }),
    rule("forward", "redirected within a network", ...atBridges, { expr: "ct", key: "status", register: 1 }, { expr: "bitwise", register: 1, mask: hostWord(CT_STATUS_DNAT) }, { expr: "compare", register: 1, equal: false, value: hostWord(0) }, ...setMark(REDIRECTED)),
  ];
}

/** For frames, right behind that: what was accepted at an annex is not accepted by that between ports, nor at the network's own bridge. */
export const forgetAnnex = (): NftExpression[] => [...hasMark(AT_ANNEX), ...clearMark(AT_ANNEX), ...unmark()];

/** Frames that go back to the annex that they came from, without being for a published port there: it would look for their senders here. `set`: of pairs. */
export const isEcho = (set: string): NftExpression[] => [
  { expr: "meta", key: "iifname", register: word(0) },
  { expr: "meta", key: "oifname", register: word(BEHIND_NAME) },
  { expr: "lookup", set, register: word(0) },
  ...hasMark(REDIRECTED, false),
];

export const forgetRedirection = (): NftExpression[] => clearMark(REDIRECTED);
