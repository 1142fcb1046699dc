/** The rules of a chain as the kernel lists them, so far as it takes to know one's own and to see what a chain ends with. */
import { NLM_F, attributeList, attributeText, parseAttributes } from "./message.ts";
import type { NetlinkMessage } from "./message.ts";
import { FAMILY, NFT_MSG, SUBSYSTEM_NFTABLES } from "./nftables.ts";
import type { NftBaseChain, NftTable } from "./nftables.ts";
import type { NetlinkRequest } from "./socket.ts";

export interface ListedRule {
  /** As deleteRule takes it. */
  handle: Uint8Array;
  expressions: ListedExpression[];
}

export interface ListedExpression {
  /** The kernel's name, such as "cmp". */
  name: string;
  data: Buffer;
}

export const rulesRequest = ({ family, table, name }: NftBaseChain): NetlinkRequest => ({
  what: `list the rules of chain ${name} of table ${table}`,
  type: (SUBSYSTEM_NFTABLES << 8) | NFT_MSG.GETRULE,
  flags: NLM_F.DUMP,
  write: (writer) => writer.u8(family).u8(0).u16be(0).attributeString(1, table).attributeString(2, name),
});

export const elementsRequest = (table: NftTable, set: string): NetlinkRequest => ({
  what: `list the elements of ${set} of table ${table.name}`,
  type: (SUBSYSTEM_NFTABLES << 8) | NFT_MSG.GETSETELEM,
  flags: NLM_F.DUMP,
  write: (writer) => writer.u8(FAMILY[table.family]).u8(0).u16be(0).attributeString(1, table.name).attributeString(2, set),
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
  return { handle: attributes.get(3) ?? Buffer.alloc(8), expressions };
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
