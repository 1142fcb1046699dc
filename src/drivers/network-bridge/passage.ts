/**
 * The way of containers' packets through other programs' firewalls. An accept in our table never beats a drop in another: so what
 * ours accepts is marked, and one rule at the head of each foreign forward chain that drops what it does not know accepts what
 * is marked. The rule is like one of iptables (-m mark --mark M/M -j ACCEPT), which therefore goes on to understand the chain.
 */
import { messageOf } from "../../lib/errors.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import { FAMILY, HOOK } from "../../sys/netlink/nftables.ts";
import type { NftBaseChain, NftChange, NftTable } from "../../sys/netlink/nftables.ts";
import { hostWord } from "../../sys/netlink/nftables-expression.ts";
import type { NftExpression } from "../../sys/netlink/nftables-expression.ts";
import { bitwiseMask, immediateVerdict, targetName } from "../../sys/netlink/nftables-rules.ts";
import type { ListedRule } from "../../sys/netlink/nftables-rules.ts";

/** One bit, which other programs are not known to use. */
const MARK = 0x1000_0000;
const ALL_BITS = 0xffff_ffff;
const COMMENT = "gantry: what its own table accepts";

export const setMark = (mark: number): NftExpression[] => [
  { expr: "meta", key: "mark", register: 1 },
  { expr: "bitwise", register: 1, mask: hostWord((ALL_BITS & ~mark) >>> 0), flip: hostWord(mark) },
  { expr: "metaWrite", key: "mark", register: 1 },
];

export const clearMark = (mark: number): NftExpression[] => [
  { expr: "meta", key: "mark", register: 1 },
  { expr: "bitwise", register: 1, mask: hostWord((ALL_BITS & ~mark) >>> 0) },
  { expr: "metaWrite", key: "mark", register: 1 },
];

/** Of one bit. */
export const hasMark = (mark: number, wanted = true): NftExpression[] => [
  { expr: "meta", key: "mark", register: 1 },
  { expr: "bitwise", register: 1, mask: hostWord(mark) },
  { expr: "compare", register: 1, equal: wanted, value: hostWord(mark) },
];

export const markPassage = (): NftExpression[] => setMark(MARK);
export const unmark = (): NftExpression[] => clearMark(MARK);
export const isMarked = (): NftExpression[] => hasMark(MARK);

const PASS: NftExpression[] = [
  ...isMarked(),
  { expr: "counter" },
  { expr: "verdict", verdict: "accept" },
];

const isPassage = ({ expressions }: ListedRule): boolean => expressions.some((expression) => bitwiseMask(expression)?.equals(hostWord(MARK)) === true) && expressions.some((expression) => immediateVerdict(expression) === 1);

/** It says no to every packet that reaches it. */
function refusesAll({ expressions }: ListedRule): boolean {
  const rest = expressions.filter(({ name }) => name !== "counter" && name !== "log" && name !== "limit");
  const [only] = rest;
  return rest.length === 1 && only !== undefined && (only.name === "reject" || immediateVerdict(only) === 0 || ["REJECT", "DROP"].includes(targetName(only) ?? ""));
}

const FAMILIES = new Map<number, NftTable["family"]>([
  [FAMILY.inet, "inet"],
  [FAMILY.ip, "ip"],
  [FAMILY.ip6, "ip6"],
]);
const tableOf = ({ family, table }: NftBaseChain): NftTable => ({ family: FAMILIES.get(family)!, name: table });
const nameOf = ({ table, name }: NftBaseChain): string => `chain ${name} of table ${table}`;

/** Which chains are meant. */
export interface Others {
  /** Tells the tables of this daemon and others of its kind. */
  isOurs: (table: string) => boolean;
  hooks: readonly ("forward" | "output")[];
}

/** The chains of other programs, and their rules. */
async function foreignChains(kernel: NetworkKernel, { isOurs, hooks }: Others): Promise<{ chain: NftBaseChain; rules: ListedRule[] }[]> {
  const numbers = hooks.map((hook): number => HOOK[hook]);
  const chains = (await kernel.baseChains()).filter(({ family, table, hook }) => numbers.includes(hook) && FAMILIES.has(family) && !isOurs(table));
  return Promise.all(chains.map(async (chain) => ({ chain, rules: await kernel.chainRules(chain) })));
}

const drops = ({ chain, rules }: { chain: NftBaseChain; rules: ListedRule[] }): boolean => chain.policy === "drop" || rules.some(refusesAll);

/** The foreign chains that drop what they do not know. */
export async function droppingChains(kernel: NetworkKernel, others: Others): Promise<string[]> {
  return (await foreignChains(kernel, others)).filter(drops).map(({ chain }) => nameOf(chain));
}

/** Opens what is not open yet. Says which chains it opened, and which could not be. */
export async function openPassage(kernel: NetworkKernel, others: Others): Promise<{ opened: string[]; failures: string[] }> {
  const closed = (await foreignChains(kernel, others)).filter((one) => drops(one) && !(one.rules[0] && isPassage(one.rules[0])));
  const opened: string[] = [];
  const failures: string[] = [];
  for (const { chain, rules } of closed) {
    // One that slipped behind others is moved to the head.
    const changes: NftChange[] = [...removals(chain, rules), { op: "addRule", chain: chain.name, expressions: PASS, comment: COMMENT, first: true }];
    try {
      await kernel.nft({ table: tableOf(chain), changes });
      opened.push(nameOf(chain));
    } catch (error) {
      failures.push(`${nameOf(chain)}: ${messageOf(error)}`);
    }
  }
  return { opened, failures };
}

/** Takes away what openPassage() added to any chain, earlier and by other daemons too: where they want it, they heal it. */
export async function closePassage(kernel: NetworkKernel, others: Others): Promise<void> {
  for (const { chain, rules } of await foreignChains(kernel, others)) {
    const changes = removals(chain, rules);
    if (changes.length > 0) await kernel.nft({ table: tableOf(chain), changes });
  }
}

const removals = (chain: NftBaseChain, rules: readonly ListedRule[]): NftChange[] => rules.filter(isPassage).map(({ handle }) => ({ op: "deleteRule", chain: chain.name, handle }));
