/** The expressions of nftables rules. Registers: 1-4 hold 16 bytes each; word(n) is the n-th 32-bit word of the same space. */
import type { MessageWriter } from "./message.ts";

export type NftVerdict = { verdict: "accept" | "drop" | "return" } | { verdict: "jump" | "goto"; chain: string };

export type NftExpression =
  | { expr: "meta"; key: keyof typeof META; register: number }
  | { expr: "payload"; base: keyof typeof PAYLOAD_BASE; offset: number; length: number; register: number }
  /** Writes the register's value into the packet; `checksum` is where the header has its sum, of the internet's kind. */
  | { expr: "payloadWrite"; base: keyof typeof PAYLOAD_BASE; offset: number; length: number; register: number; checksum: number }
  | { expr: "value"; register: number; value: Uint8Array }
  /** The packet belongs to no connection. */
  | { expr: "notrack" }
  | { expr: "ct"; key: keyof typeof CT; register: number }
  /** Gives the packet the register's value: 16 bits. */
  | { expr: "ctWrite"; key: "zone"; register: number }
  | { expr: "fib"; result: keyof typeof FIB_RESULT; flags: (keyof typeof FIB_FLAG)[]; register: number }
  /** `flip`: bits that are turned over after the mask; absent: none. */
  | { expr: "bitwise"; register: number; mask: Uint8Array; flip?: Uint8Array }
  /** Gives the packet the register's value, such as a mark. */
  | { expr: "metaWrite"; key: keyof typeof META; register: number }
  | { expr: "reject"; with: keyof typeof REJECT }
  /** Goes on for so many packets a second. */
  | { expr: "limit"; perSecond: number; burst: number }
  /** A copy of the packet's beginning goes to the readers of the group. */
  | { expr: "log"; group: number; prefix: string; bytes: number }
  | { expr: "compare"; register: number; equal: boolean; value: Uint8Array }
  /** Both ends belong to it. */
  | { expr: "range"; register: number; first: Uint8Array; last: Uint8Array }
  /** `to`: where a map's value goes; 0 is the verdict. */
  | { expr: "lookup"; set: string; register: number; to?: number; invert?: boolean }
  | { expr: "dnat"; family: 4 | 6; address: number; port?: number }
  | { expr: "snat"; family: 4 | 6; address: number }
  | { expr: "masquerade" }
  /** A copy of the packet, of no connection, goes to the address and out of the device. Of the families ip and ip6. */
  | { expr: "copy"; address: number; device: number }
  | { expr: "counter" }
  | ({ expr: "verdict" } & NftVerdict);

export const VERDICT_REGISTER = 0;
/** The n-th 32-bit register (NFT_REG32_00 and on). */
export const word = (index: number): number => 8 + index;

const META = { protocol: 1, mark: 3, iifname: 6, oifname: 7, nfproto: 15, l4proto: 16 } as const;
const PAYLOAD_BASE = { link: 0, network: 1, transport: 2 } as const;
const CT = { state: 0, status: 2, zone: 17 } as const;
const FIB_RESULT = { type: 3 } as const;
const FIB_FLAG = { saddr: 1, daddr: 2, iif: 8 } as const;
/** Of the inet family: the kernel words the message for IPv4 or IPv6. */
const REJECT = { "tcp-reset": [1, 0], "admin-prohibited": [2, 3] } as const;
const VERDICT = { drop: 0, accept: 1, jump: -3, goto: -4, return: -5 } as const;
const CHECKSUM_INTERNET = 1;
const LOOKUP_INVERT = 1;
const NAT_SNAT = 0;
const NAT_DNAT = 1;
const NFPROTO = { 4: 2, 6: 10 } as const;

/** Bits of `ct state` and `ct status`, and fib's address types, in host order as registers hold them. */
export const CT_STATE = { invalid: 1, established: 2, related: 4, new: 8 } as const;
export const CT_STATUS_DNAT = 1 << 5;
export const ADDRESS_TYPE_LOCAL = 2;

/** A 32-bit value in host order. */
export function hostWord(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

const NAMES: Record<NftExpression["expr"], string> = {
  meta: "meta",
  payload: "payload",
  payloadWrite: "payload",
  value: "immediate",
  notrack: "notrack",
  ct: "ct",
  ctWrite: "ct",
  fib: "fib",
  bitwise: "bitwise",
  compare: "cmp",
  range: "range",
  metaWrite: "meta",
  reject: "reject",
  limit: "limit",
  log: "log",
  lookup: "lookup",
  dnat: "nat",
  snat: "nat",
  masquerade: "masq",
  copy: "dup",
  counter: "counter",
  verdict: "immediate",
};

/** Name and data of one expression, as the elements of a rule's list hold them. */
export function writeExpression(writer: MessageWriter, expression: NftExpression): void {
  writer.attributeString(1, NAMES[expression.expr]);
  writer.nested(2, () => writeData(writer, expression));
}

function writeData(writer: MessageWriter, expression: NftExpression): void {
  switch (expression.expr) {
    case "meta":
      writer.attributeU32be(1, expression.register).attributeU32be(2, META[expression.key]);
      return;
    case "payload":
      writer.attributeU32be(1, expression.register).attributeU32be(2, PAYLOAD_BASE[expression.base]);
      writer.attributeU32be(3, expression.offset).attributeU32be(4, expression.length);
      return;
    case "payloadWrite":
      writer.attributeU32be(2, PAYLOAD_BASE[expression.base]).attributeU32be(3, expression.offset).attributeU32be(4, expression.length);
      writer.attributeU32be(5, expression.register).attributeU32be(6, CHECKSUM_INTERNET).attributeU32be(7, expression.checksum);
      return;
    case "value":
      writer.attributeU32be(1, expression.register);
      writer.nested(2, () => writer.attributeBytes(1, expression.value));
      return;
    case "ct":
      writer.attributeU32be(1, expression.register).attributeU32be(2, CT[expression.key]);
      return;
    case "ctWrite":
      writer.attributeU32be(2, CT[expression.key]).attributeU32be(4, expression.register);
      return;
    case "fib":
      writer.attributeU32be(1, expression.register).attributeU32be(2, FIB_RESULT[expression.result]);
      writer.attributeU32be(3, expression.flags.reduce((sum, flag) => sum | FIB_FLAG[flag], 0));
      return;
    case "bitwise":
      writeBitwise(writer, expression);
      return;
    case "metaWrite":
      writer.attributeU32be(2, META[expression.key]).attributeU32be(3, expression.register);
      return;
    case "reject":
      writer.attributeU32be(1, REJECT[expression.with][0]).attributeBytes(2, Uint8Array.of(REJECT[expression.with][1]));
      return;
    case "limit":
      writer.attributeBytes(1, bigWord(expression.perSecond)).attributeBytes(2, bigWord(1)).attributeU32be(3, expression.burst).attributeU32be(4, 0).attributeU32be(5, 0);
      return;
    case "log":
      writer.attributeBytes(1, Uint8Array.of(expression.group >> 8, expression.group & 255)).attributeString(2, expression.prefix).attributeU32be(3, expression.bytes);
      return;
    case "compare":
      writer.attributeU32be(1, expression.register).attributeU32be(2, expression.equal ? 0 : 1);
      writer.nested(3, () => writer.attributeBytes(1, expression.value));
      return;
    case "range":
      writer.attributeU32be(1, expression.register).attributeU32be(2, 0);
      writer.nested(3, () => writer.attributeBytes(1, expression.first)).nested(4, () => writer.attributeBytes(1, expression.last));
      return;
    case "lookup":
      writer.attributeString(1, expression.set).attributeU32be(2, expression.register);
      if (expression.to !== undefined) writer.attributeU32be(3, expression.to);
      if (expression.invert) writer.attributeU32be(5, LOOKUP_INVERT);
      return;
    case "dnat":
      writer.attributeU32be(1, NAT_DNAT).attributeU32be(2, NFPROTO[expression.family]).attributeU32be(3, expression.address);
      if (expression.port !== undefined) writer.attributeU32be(5, expression.port);
      return;
    case "copy":
      writer.attributeU32be(1, expression.address).attributeU32be(2, expression.device);
      return;
    case "snat":
      writer.attributeU32be(1, NAT_SNAT).attributeU32be(2, NFPROTO[expression.family]).attributeU32be(3, expression.address);
      return;
    case "masquerade":
    case "notrack":
    case "counter":
      return;
    case "verdict":
      writer.attributeU32be(1, VERDICT_REGISTER);
      writer.nested(2, () => writeVerdict(writer, expression));
  }
}

function writeBitwise(writer: MessageWriter, { register, mask, flip = new Uint8Array(mask.length) }: Extract<NftExpression, { expr: "bitwise" }>): void {
  writer.attributeU32be(1, register).attributeU32be(2, register).attributeU32be(3, mask.length);
  writer.nested(4, () => writer.attributeBytes(1, mask));
  writer.nested(5, () => writer.attributeBytes(1, flip));
}

/** 64 bits in network order. */
export function bigWord(value: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** The data of an immediate or of a verdict map's element. */
export function writeVerdict(writer: MessageWriter, verdict: NftVerdict): void {
  writer.nested(2, () => {
    writer.attributeU32be(1, VERDICT[verdict.verdict]);
    if ("chain" in verdict) writer.attributeString(2, verdict.chain);
  });
}
