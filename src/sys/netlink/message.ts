/**
 * Netlink framing (netlink(7)): a datagram is a run of messages, a message is a header, a fixed part and attributes.
 *
 *   | length u32 | type u16 | flags u16 | sequence u32 | port u32 |  fixed part  | attribute ... |
 *   attribute: | length u16 | type u16 | value, padded to 4 |
 *
 * Numbers are in host order (little-endian on every machine that Gantry runs on) unless a method says Be.
 */
export const NLM_F = { REQUEST: 1, ACK: 4, REPLACE: 0x100, EXCL: 0x200, CREATE: 0x400, APPEND: 0x800, DUMP: 0x300 } as const;
export const NLMSG = { ERROR: 2, DONE: 3 } as const;
const FLAG_CAPPED = 0x100;
const FLAG_ACK_TLVS = 0x200;
const ATTRIBUTE_NESTED = 0x8000;
const ATTRIBUTE_TYPE_MASK = 0x3fff;

const align4 = (length: number): number => (length + 3) & ~3;

/** Appends messages to one growing datagram. */
export class MessageWriter {
  #buffer = Buffer.alloc(1024);
  #length = 0;

  /** One message; `write` adds the fixed part and the attributes. */
  message(header: { type: number; flags: number; sequence: number }, write: (writer: this) => void): this {
    const start = this.#length;
    this.u32(0).u16(header.type).u16(header.flags).u32(header.sequence).u32(0);
    write(this);
    this.#buffer.writeUInt32LE(this.#length - start, start);
    return this.#pad();
  }

  u8(value: number): this {
    const at = this.#grow(1);
    this.#buffer.writeUInt8(value, at);
    return this;
  }
  u16(value: number): this {
    const at = this.#grow(2);
    this.#buffer.writeUInt16LE(value, at);
    return this;
  }
  u16be(value: number): this {
    const at = this.#grow(2);
    this.#buffer.writeUInt16BE(value, at);
    return this;
  }
  u32(value: number): this {
    const at = this.#grow(4);
    this.#buffer.writeUInt32LE(value >>> 0, at);
    return this;
  }
  u32be(value: number): this {
    const at = this.#grow(4);
    this.#buffer.writeUInt32BE(value >>> 0, at);
    return this;
  }
  u64be(value: bigint): this {
    const at = this.#grow(8);
    this.#buffer.writeBigUInt64BE(value, at);
    return this;
  }
  bytes(value: Uint8Array): this {
    const at = this.#grow(value.length);
    this.#buffer.set(value, at);
    return this;
  }

  attribute(type: number, write: (writer: this) => void): this {
    const start = this.#length;
    this.u16(0).u16(type);
    write(this);
    this.#buffer.writeUInt16LE(this.#length - start, start);
    return this.#pad();
  }
  nested(type: number, write: (writer: this) => void): this {
    return this.attribute(type | ATTRIBUTE_NESTED, write);
  }
  attributeU8(type: number, value: number): this {
    return this.attribute(type, () => this.u8(value));
  }
  attributeU32(type: number, value: number): this {
    return this.attribute(type, () => this.u32(value));
  }
  attributeU32be(type: number, value: number): this {
    return this.attribute(type, () => this.u32be(value));
  }
  attributeBytes(type: number, value: Uint8Array): this {
    return this.attribute(type, () => this.bytes(value));
  }
  /** NUL-terminated. */
  attributeString(type: number, value: string): this {
    return this.attribute(type, () => this.bytes(Buffer.from(`${value}\0`)));
  }

  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  #pad(): this {
    const to = align4(this.#length);
    const at = this.#grow(to - this.#length);
    this.#buffer.fill(0, at, to);
    return this;
  }

  #grow(more: number): number {
    const at = this.#length;
    if (at + more > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(this.#buffer.length * 2, at + more));
      this.#buffer.copy(larger, 0, 0, at);
      this.#buffer = larger;
    }
    this.#length += more;
    return at;
  }
}

export interface NetlinkMessage {
  type: number;
  flags: number;
  sequence: number;
  /** In an answer the asking socket's port, in an event the port of whoever caused it. */
  port: number;
  payload: Buffer;
}

/** The messages of a datagram, or of several in a row. A message that does not fit ends the list: the kernel sends none. */
export function parseMessages(data: Buffer): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at + 16 <= data.length; ) {
    const length = data.readUInt32LE(at);
    if (length < 16 || at + length > data.length) break;
    messages.push({ type: data.readUInt16LE(at + 4), flags: data.readUInt16LE(at + 6), sequence: data.readUInt32LE(at + 8), port: data.readUInt32LE(at + 12), payload: data.subarray(at + 16, at + length) });
    at += align4(length);
  }
  return messages;
}

/** The attributes from `offset` on; of a repeated type the last. */
export function parseAttributes(data: Buffer, offset = 0): Map<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  for (const [type, value] of attributeList(data, offset)) attributes.set(type, value);
  return attributes;
}

/** The attributes in order, for lists whose elements have one type. */
export function attributeList(data: Buffer, offset = 0): [type: number, value: Buffer][] {
  const list: [number, Buffer][] = [];
  for (let at = offset; at + 4 <= data.length; ) {
    const length = data.readUInt16LE(at);
    if (length < 4 || at + length > data.length) break;
    list.push([data.readUInt16LE(at + 2) & ATTRIBUTE_TYPE_MASK, data.subarray(at + 4, at + length)]);
    at += align4(length);
  }
  return list;
}

/** An attribute's text, without its NUL. */
export function attributeText(value: Buffer | undefined): string {
  if (!value) return "";
  const end = value.indexOf(0);
  return value.toString("utf8", 0, end < 0 ? value.length : end);
}

export interface Acknowledgement {
  /** A positive errno; 0 for success. */
  errno: number;
  /** The kernel's own words (extended ack), when it has some. */
  text: string;
}

/** The content of a message of type NLMSG.ERROR. */
export function parseAcknowledgement(message: NetlinkMessage): Acknowledgement {
  const errno = -message.payload.readInt32LE(0);
  if ((message.flags & FLAG_ACK_TLVS) === 0) return { errno, text: "" };
  const request = (message.flags & FLAG_CAPPED) === 0 ? message.payload.readUInt32LE(4) : 16;
  return { errno, text: attributeText(parseAttributes(message.payload, 4 + align4(request)).get(1)) };
}
