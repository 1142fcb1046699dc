/**
 * nftables over netlink: tables, chains, rules, sets and maps as plain data, and their encoding.
 *
 * A transaction is a list of changes that the kernel does all or not at all. Values in keys are in network order and, in
 * concatenations, each field is padded to 4 bytes (registers are 32 bits wide).
 */
import { NLM_F, attributeText, parseAttributes } from "./message.ts";
import type { MessageWriter, NetlinkMessage } from "./message.ts";
import type { NftExpression } from "./nftables-expression.ts";
import { bigWord, writeExpression, writeVerdict } from "./nftables-expression.ts";
import type { NftVerdict } from "./nftables-expression.ts";
import type { NetlinkRequest } from "./socket.ts";

export const SUBSYSTEM_NFTABLES = 10;
export const NFNLGRP_NFTABLES = 7;
export const NFT_MSG = { NEWTABLE: 0, GETTABLE: 1, DELTABLE: 2, NEWCHAIN: 3, GETCHAIN: 4, DELCHAIN: 5, NEWRULE: 6, GETRULE: 7, DELRULE: 8, NEWSET: 9, DELSET: 11, NEWSETELEM: 12, GETSETELEM: 13, DELSETELEM: 14 } as const;
export const FAMILY = { inet: 1, ip: 2, bridge: 7, ip6: 10 } as const;
const TABLE_FLAG = { owner: 2, persist: 4 } as const;
const SET_FLAG = { interval: 4, map: 8, timeout: 16, concatenation: 128 } as const;
const ELEMENT_INTERVAL_END = 1;
const DATA_TYPE_VERDICT = 0xffffff00;
/** Of the inet family; the bridge family numbers its own the same way for these. */
export const HOOK = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;

/** nft's data types; a concatenation is a list of them. */
export const NFT_TYPE = { ipv4: { id: 7, length: 4 }, ipv6: { id: 8, length: 16 }, mac: { id: 9, length: 6 }, protocol: { id: 12, length: 1 }, port: { id: 13, length: 2 }, ifname: { id: 41, length: 16 } } as const;
export type NftType = keyof typeof NFT_TYPE;

export interface NftTable {
  family: keyof typeof FAMILY;
  name: string;
}

export interface NftSet {
  name: string;
  key: NftType[];
  /** A map's value; absent for a set. */
  value?: NftType[] | "verdict";
  /** Keys are ranges: elements have `end`, and `last` where the key is a concatenation. */
  interval?: boolean;
  /** Elements may go by themselves. */
  timeout?: boolean;
}

export interface NftElement {
  key: Uint8Array;
  /** The first key after the range; absent: to the end of the key space. */
  end?: Uint8Array;
  /** The last key of the range, field by field. */
  last?: Uint8Array;
  value?: Uint8Array | NftVerdict;
  /** Milliseconds, in a set whose elements go by themselves; absent: it stays. */
  timeout?: number;
}

export interface NftChain {
  name: string;
  /** Absent: only jumped to. */
  base?: { type: "filter" | "nat" | "route"; hook: keyof typeof HOOK; priority: number; policy: "accept" | "drop" };
}

export type NftChange =
  /** Existing tables stay as they are, or fail with EEXIST where `exclusive`. `owner`: only this socket may change it; with `persist` it stays when the socket is gone and the next owner may claim it. */
  | { op: "addTable"; owner?: boolean; persist?: boolean; exclusive?: boolean }
  | { op: "deleteTable" }
  | { op: "addChain"; chain: NftChain }
  /** `first`: before the others. */
  | { op: "addRule"; chain: string; expressions: NftExpression[]; comment?: string; first?: boolean }
  | { op: "deleteRule"; chain: string; handle: Uint8Array }
  /** With its rules. */
  | { op: "deleteChain"; chain: string }
  /** All its rules go. */
  | { op: "flushChain"; chain: string }
  | { op: "addSet"; set: NftSet }
  | { op: "deleteSet"; set: string }
  | { op: "addElements"; set: string; elements: NftElement[] }
  | { op: "deleteElements"; set: string; elements: NftElement[] };

export interface NftTransaction {
  table: NftTable;
  changes: NftChange[];
}

/** A base chain as the kernel lists it. */
export interface NftBaseChain {
  family: number;
  table: string;
  name: string;
  hook: number;
  priority: number;
  policy: "accept" | "drop";
}

/** Asks for the chains of all tables, those of iptables-nft among them. */
export const chainsRequest: NetlinkRequest = { what: "list the firewall's chains", type: (SUBSYSTEM_NFTABLES << 8) | NFT_MSG.GETCHAIN, flags: NLM_F.DUMP, write: (writer) => writer.u8(0).u8(0).u16be(0) };

/** undefined for other messages, and for chains that are only jumped to. */
export function decodeBaseChain(message: NetlinkMessage): NftBaseChain | undefined {
  if (message.type !== ((SUBSYSTEM_NFTABLES << 8) | NFT_MSG.NEWCHAIN) || message.payload.length < 4) return undefined;
  const attributes = parseAttributes(message.payload, 4);
  const hook = attributes.get(4);
  if (!hook) return undefined;
  const place = parseAttributes(hook);
  return {
    family: message.payload[0]!,
    table: attributeText(attributes.get(1)),
    name: attributeText(attributes.get(3)),
    hook: place.get(1)?.readUInt32BE(0) ?? -1,
    priority: place.get(2)?.readInt32BE(0) ?? 0,
    policy: attributes.get(5)?.readUInt32BE(0) === 0 ? "drop" : "accept",
  };
}

/** A concatenated key or value: every field padded to 4 bytes. */
export function concatenation(...fields: Uint8Array[]): Uint8Array {
  return Buffer.concat(fields.map((field) => Buffer.concat([field], (field.length + 3) & ~3)));
}

/** An interface name as nftables keys hold it: 16 bytes. */
export const ifname = (name: string): Uint8Array => Buffer.concat([Buffer.from(name)], 16);

export const portBytes = (port: number): Uint8Array => Uint8Array.of(port >> 8, port & 255);

/** The messages of a transaction, with its begin and end. */
export function encodeTransaction(transaction: NftTransaction): NetlinkRequest[] {
  let setId = 0;
  const requests = transaction.changes.map((change): NetlinkRequest => {
    const [type, flags, write] = encodings(transaction.table, change, () => ++setId);
    return { what: describe(transaction.table, change), type: (SUBSYSTEM_NFTABLES << 8) | type, flags: flags | NLM_F.ACK, write };
  });
  return [batchEdge("begin", 0x10), ...requests, batchEdge("end", 0x11)];
}

function batchEdge(name: string, type: number): NetlinkRequest {
  return { what: `${name} the firewall's transaction`, type, flags: 0, write: (writer) => writer.u8(0).u8(0).u16be(SUBSYSTEM_NFTABLES) };
}

export function describe(table: NftTable, change: NftChange): string {
  const where = `table ${table.family} ${table.name}`;
  switch (change.op) {
    case "addTable":
      return `add ${where}`;
    case "deleteTable":
      return `delete ${where}`;
    case "addChain":
      return `add chain ${change.chain.name} to ${where}`;
    case "addRule":
      return `add rule${change.comment ? ` "${change.comment}"` : ""} to chain ${change.chain} of ${where}`;
    case "deleteRule":
      return `delete a rule of chain ${change.chain} of ${where}`;
    case "flushChain":
      return `flush chain ${change.chain} of ${where}`;
    case "deleteChain":
      return `delete chain ${change.chain} of ${where}`;
    case "deleteSet":
      return `delete set ${change.set} of ${where}`;
    case "addSet":
      return `add ${change.set.value ? "map" : "set"} ${change.set.name} to ${where}`;
    case "addElements":
      return `add elements to ${change.set} of ${where}`;
    case "deleteElements":
      return `delete elements of ${change.set} of ${where}`;
  }
}

type Encoding = [type: number, flags: number, write: (writer: MessageWriter) => void];

function encodings(table: NftTable, change: NftChange, nextSetId: () => number): Encoding {
  const header = (writer: MessageWriter): MessageWriter => writer.u8(FAMILY[table.family]).u8(0).u16be(0).attributeString(1, table.name);
  switch (change.op) {
    case "addTable":
      return [NFT_MSG.NEWTABLE, NLM_F.CREATE | (change.exclusive ? NLM_F.EXCL : 0), (writer) => writeTableFlags(header(writer), change)];
    case "deleteTable":
      return [NFT_MSG.DELTABLE, 0, header];
    case "addChain":
      return [NFT_MSG.NEWCHAIN, NLM_F.CREATE, (writer) => writeChain(header(writer), change.chain)];
    case "addRule":
      return [NFT_MSG.NEWRULE, NLM_F.CREATE | (change.first ? 0 : NLM_F.APPEND), (writer) => writeRule(header(writer), change)];
    case "deleteRule":
      return [NFT_MSG.DELRULE, 0, (writer) => header(writer).attributeString(2, change.chain).attributeBytes(3, change.handle)];
    case "flushChain":
      return [NFT_MSG.DELRULE, 0, (writer) => header(writer).attributeString(2, change.chain)];
    case "deleteChain":
      return [NFT_MSG.DELCHAIN, 0, (writer) => header(writer).attributeString(3, change.chain)];
    case "deleteSet":
      return [NFT_MSG.DELSET, 0, (writer) => header(writer).attributeString(2, change.set)];
    case "addSet":
      return [NFT_MSG.NEWSET, NLM_F.CREATE, (writer) => writeSet(header(writer), change.set, nextSetId())];
    case "addElements":
      return [NFT_MSG.NEWSETELEM, NLM_F.CREATE, (writer) => writeElements(header(writer), change)];
    case "deleteElements":
      return [NFT_MSG.DELSETELEM, 0, (writer) => writeElements(header(writer), change)];
  }
}

type Change<Op extends NftChange["op"]> = Extract<NftChange, { op: Op }>;

/** The flags attribute on an existing table claims it, so it is absent unless asked for. */
function writeTableFlags(writer: MessageWriter, change: Change<"addTable">): void {
  const flags = (change.owner ? TABLE_FLAG.owner : 0) | (change.persist ? TABLE_FLAG.persist : 0);
  if (flags) writer.attributeU32be(2, flags);
}

function writeChain(writer: MessageWriter, chain: NftChain): void {
  writer.attributeString(3, chain.name);
  const base = chain.base;
  if (!base) return;
  writer.nested(4, () => writer.attributeU32be(1, HOOK[base.hook]).attributeU32be(2, base.priority));
  writer.attributeU32be(5, base.policy === "accept" ? 1 : 0);
  writer.attributeString(7, base.type);
}

function writeRule(writer: MessageWriter, change: Change<"addRule">): void {
  writer.attributeString(2, change.chain);
  writer.nested(4, () => {
    for (const expression of change.expressions) writer.nested(1, () => writeExpression(writer, expression));
  });
  if (change.comment !== undefined) writer.attributeBytes(7, commentData(change.comment));
}

/** nft's user data for a comment: type 0, length, text with NUL. */
function commentData(comment: string): Uint8Array {
  const text = Buffer.from(`${comment}\0`);
  return Buffer.concat([Buffer.of(0, text.length), text]);
}

const padded = (type: NftType): number => (NFT_TYPE[type].length + 3) & ~3;
const typeId = (types: NftType[]): number => types.reduce((id, type) => (id << 6) | NFT_TYPE[type].id, 0);
const lengthOf = (types: NftType[]): number => (types.length === 1 ? NFT_TYPE[types[0]!].length : types.reduce((sum, type) => sum + padded(type), 0));

/** The kernel has to know the fields of ranges only. */
const hasFields = (set: NftSet): boolean => set.interval === true && set.key.length > 1;

function writeSet(writer: MessageWriter, set: NftSet, id: number): void {
  writer.attributeString(2, set.name);
  writer.attributeU32be(3, (set.interval ? SET_FLAG.interval : 0) | (set.value ? SET_FLAG.map : 0) | (set.timeout ? SET_FLAG.timeout : 0) | (hasFields(set) ? SET_FLAG.concatenation : 0));
  writer.attributeU32be(4, typeId(set.key)).attributeU32be(5, lengthOf(set.key));
  if (set.value === "verdict") writer.attributeU32be(6, DATA_TYPE_VERDICT).attributeU32be(7, 0);
  else if (set.value) writer.attributeU32be(6, typeId(set.value)).attributeU32be(7, lengthOf(set.value));
  if (hasFields(set)) writer.nested(9, () => writer.nested(2, () => set.key.forEach((type) => writer.nested(1, () => writer.attributeU32be(1, NFT_TYPE[type].length)))));
  writer.attributeU32be(10, id);
  if (set.key.length === 1) writer.attributeBytes(13, keyByteOrder(set.key[0]!));
}

/** User data of nft's own, without which it would show names backwards: type 0, length, 1 for host order, 2 for network order. */
const keyByteOrder = (type: NftType): Uint8Array => Buffer.of(0, 4, type === "ifname" ? 1 : 2, 0, 0, 0);

function writeElements(writer: MessageWriter, change: Change<"addElements" | "deleteElements">): void {
  writer.attributeString(2, change.set);
  writer.nested(3, () => {
    for (const element of change.elements) {
      writer.nested(1, () => writeElement(writer, element));
      if (element.end) writer.nested(1, () => writeElement(writer, { key: element.end! }, ELEMENT_INTERVAL_END));
    }
  });
}

function writeElement(writer: MessageWriter, element: NftElement, flags = 0): void {
  if (flags) writer.attributeU32be(3, flags);
  writer.nested(1, () => writer.attributeBytes(1, element.key));
  if (element.last) writer.nested(10, () => writer.attributeBytes(1, element.last!));
  if (element.timeout !== undefined) writer.attributeBytes(4, bigWord(element.timeout));
  const value = element.value;
  if (value instanceof Uint8Array) writer.nested(2, () => writer.attributeBytes(1, value));
  else if (value) writer.nested(2, () => writeVerdict(writer, value));
}
