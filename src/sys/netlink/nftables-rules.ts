/** The rules of a chain as the kernel lists them, so far as it takes to know one's own and to see what a chain ends with. */
import { NLM_F, attributeList, attributeText, parseAttributes } from "./message.ts";
import type { NetlinkMessage } from "./message.ts";
import { NFT_MSG, SUBSYSTEM_NFTABLES } from "./nftables.ts";
import type { NftBaseChain } from "./nftables.ts";
import type { NetlinkRequest } from "./socket.ts";

export interface ListedRule {
  /** As deleteRule takes it. */
  handle: Uint8Array;
  /** As nft shows it; "" without one. */
  comment: string;
  expressions: ListedExpression[];
}

export interface ListedExpression {
  /** The kernel's name, such as "cmp". */
  name: string;
  data: Buffer;
}

/** A chain or a set by the numbers and names that the kernel lists it with. */
export type ChainReference = Pick<NftBaseChain, "family" | "table" | "name">;

export const rulesRequest = ({ family, table, name }: ChainReference): NetlinkRequest => ({
  what: `list the rules of chain ${name} of table ${table}`,
  type: (SUBSYSTEM_NFTABLES << 8) | NFT_MSG.GETRULE,
  flags: NLM_F.DUMP,
  write: (writer) => writer.u8(family).u8(0).u16be(0).attributeString(1, table).attributeString(2, name),
});

export const elementsRequest = ({ family, table, name }: ChainReference): NetlinkRequest => ({
  what: `list the elements of ${name} of table ${table}`,
  type: (SUBSYSTEM_NFTABLES << 8) | NFT_MSG.GETSETELEM,
  flags: NLM_F.DUMP,
  write: (writer) => writer.u8(family).u8(0).u16be(0).attributeString(1, table).attributeString(2, name),
});

/** The keys in a message. */
export function decodeKeys(message: NetlinkMessage): Buffer[] {
  if (message.type !== ((SUBSYSTEM_NFTABLES << 8) | NFT_MSG.NEWSETELEM) || message.payload.length < 4) return [];
  const list = attributeList(parseAttributes(message.payload, 4).get(3) ?? Buffer.alloc(0));
  return list.flatMap(([, element]) => parseAttributes(parseAttributes(element).get(1) ?? Buffer.alloc(0)).get(1) ?? []);
}

/** undefined for other messages. */
export function decodeRule(message: NetlinkMessage): ListedRule | undefined {
  if (message.type !== ((SUBSYSTEM_NFTABLES << 8) | NFT_MSG.NEWRULE) || message.payload.length < 4) return undefined;
  const attributes = parseAttributes(message.payload, 4);
  const expressions = attributeList(attributes.get(4) ?? Buffer.alloc(0)).map(([, element]) => {
    const parts = parseAttributes(element);
    return { name: attributeText(parts.get(1)), data: parts.get(2) ?? Buffer.alloc(0) };
  });
  return { handle: attributes.get(3) ?? Buffer.alloc(8), comment: commentOf(attributes.get(7)), expressions };
}

/** User data is a run of type, length and value; a comment is type 0. */
function commentOf(data: Buffer | undefined): string {
  for (let at = 0; data && at + 2 <= data.length; at += 2 + data[at + 1]!) if (data[at] === 0) return attributeText(data.subarray(at + 2, at + 2 + data[at + 1]!));
  return "";
}

/** An element as the kernel lists it. In a set of ranges of one field, elements that end one come for themselves. */
export interface ListedElement {
  key: Buffer;
  /** The last key of a range, field by field. */
  last?: Buffer;
  isEnd: boolean;
  /** Of a map: the value, or the verdict. */
  value?: Buffer;
  verdict?: ListedVerdict;
}

export interface ListedVerdict {
  code: number;
  chain: string;
}

/** The elements in a message. */
export function decodeElements(message: NetlinkMessage): ListedElement[] {
  if (message.type !== ((SUBSYSTEM_NFTABLES << 8) | NFT_MSG.NEWSETELEM) || message.payload.length < 4) return [];
  return attributeList(parseAttributes(message.payload, 4).get(3) ?? NOTHING).map(([, element]) => {
    const parts = parseAttributes(element);
    const [last, data] = [parts.get(10), dataOf(parts.get(2))];
    return { key: valueIn(parts.get(1)) ?? NOTHING, ...(last ? { last: valueIn(last) ?? NOTHING } : {}), isEnd: ((parts.get(3)?.readUInt32BE(0) ?? 0) & 1) === 1, ...data };
  });
}

const NOTHING = Buffer.alloc(0);
const valueIn = (data: Buffer | undefined): Buffer | undefined => data && parseAttributes(data).get(1);

/** Of an "immediate" expression or a map's element. */
export function dataOf(data: Buffer | undefined): { value?: Buffer; verdict?: ListedVerdict } {
  const parts = parseAttributes(data ?? NOTHING);
  const [value, verdict] = [parts.get(1), parts.get(2)];
  if (value) return { value };
  if (!verdict) return {};
  const of = parseAttributes(verdict);
  return { verdict: { code: of.get(1)?.readInt32BE(0) ?? 0, chain: attributeText(of.get(2)) } };
}

/** The verdict of an "immediate" expression: 0 drops, 1 accepts; undefined: it sets a value, or jumps. */
export function immediateVerdict({ name, data }: ListedExpression): number | undefined {
  if (name !== "immediate") return undefined;
  const verdict = parseAttributes(parseAttributes(data).get(2) ?? Buffer.alloc(0)).get(2);
  const code = verdict && parseAttributes(verdict).get(1)?.readInt32BE(0);
  return code === 0 || code === 1 ? code : undefined;
}

/** The mask of a "bitwise" expression. */
export const bitwiseMask = ({ name, data }: ListedExpression): Buffer | undefined => (name === "bitwise" ? parseAttributes(parseAttributes(data).get(4) ?? Buffer.alloc(0)).get(1) : undefined);

/** The name of an iptables target that the kernel's older code is asked for. */
export const targetName = ({ name, data }: ListedExpression): string | undefined => (name === "target" ? attributeText(parseAttributes(data).get(1)) : undefined);
