/**
 * Messages of D-Bus (the specification's "Message Protocol" and "Type System"), in the little-endian form that we send and
 * that systemd and dbus-daemon answer in on the machines that Gantry runs on.
 */

/** Numbers for y, n, q, u, i and d; bigint for t and x; string for s, o and g; boolean for b; an array for a and for (); [signature, value] for v. */
export type DbusValue = number | bigint | string | boolean | Uint8Array | DbusValue[];

export interface DbusMessage {
  type: "call" | "return" | "error" | "signal";
  serial: number;
  replySerial?: number;
  path?: string;
  interface?: string;
  member?: string;
  errorName?: string;
  destination?: string;
  signature?: string;
  body?: DbusValue[];
}

const types = { call: 1, return: 2, error: 3, signal: 4 } as const;
const typeNames = Object.fromEntries(Object.entries(types).map(([name, code]) => [code, name])) as Record<number, DbusMessage["type"]>;
const fields: [code: number, name: "path" | "interface" | "member" | "errorName" | "replySerial" | "destination" | "signature", type: string][] = [
  [1, "path", "o"],
  [2, "interface", "s"],
  [3, "member", "s"],
  [4, "errorName", "s"],
  [5, "replySerial", "u"],
  [6, "destination", "s"],
  [8, "signature", "g"],
];
/** The specification allows 128 MiB; what is asked for here is far smaller. */
const largest = 1 << 24;

export function encodeMessage(message: DbusMessage): Buffer {
  const body = new Writer();
  const bodyTypes = splitSignature(message.signature ?? "");
  if (bodyTypes.length !== (message.body?.length ?? 0)) throw new RangeError(`D-Bus: ${message.body?.length ?? 0} values for the signature ${JSON.stringify(message.signature ?? "")}`);
  bodyTypes.forEach((type, index) => body.put(type, message.body![index]!));
  const given = fields.flatMap(([code, name, type]): DbusValue[] => (message[name] === undefined ? [] : [[code, [type, message[name]]]]));
  const head = new Writer();
  head.put("y", 0x6c);
  head.put("y", types[message.type]);
  head.put("y", 0);
  head.put("y", 1);
  head.put("u", body.length);
  head.put("u", message.serial);
  head.put("a(yv)", given);
  head.align(8);
  return Buffer.concat([head.bytes(), body.bytes()]);
}

/** How long the message is that begins here; undefined when too little of it has come. */
export function messageLength(bytes: Buffer): number | undefined {
  if (bytes.length < 16) return undefined;
  if (bytes[0] !== 0x6c) throw new RangeError("D-Bus: not a little-endian message");
  const length = 16 + ((bytes.readUInt32LE(12) + 7) & ~7) + bytes.readUInt32LE(4);
  if (length > largest || length < 16) throw new RangeError(`D-Bus: a message of ${length} bytes`);
  return length;
}

export function decodeMessage(bytes: Buffer): DbusMessage {
  const reader = new Reader(bytes);
  reader.take("y");
  const type = typeNames[reader.take("y") as number];
  reader.take("y");
  reader.take("y");
  reader.take("u");
  const serial = reader.take("u") as number;
  if (type === undefined) throw new RangeError("D-Bus: a message of an unknown type");
  const message: DbusMessage = { type, serial };
  for (const [code, [, value]] of reader.take("a(yv)") as [number, [string, never]][]) {
    const name = fields.find((field) => field[0] === code)?.[1];
    if (name !== undefined) message[name] = value;
  }
  reader.align(8);
  message.body = splitSignature(message.signature ?? "").map((each) => reader.take(each));
  return message;
}

/** Its complete types, one by one. */
export function splitSignature(signature: string): string[] {
  const parts: string[] = [];
  for (let at = 0; at < signature.length; ) {
    const end = endOfType(signature, at);
    parts.push(signature.slice(at, end));
    at = end;
  }
  return parts;
}

function endOfType(signature: string, start: number): number {
  let at = start;
  while (signature[at] === "a") at++;
  const open = signature[at];
  if (open === undefined || open === ")" || open === "}") throw new RangeError(`D-Bus: signature ${JSON.stringify(signature)}`);
  if (open !== "(" && open !== "{") return at + 1;
  const close = open === "(" ? ")" : "}";
  // An empty one would take no bytes, and an array of them no end.
  if (signature[at + 1] === close) throw new RangeError(`D-Bus: signature ${JSON.stringify(signature)}`);
  for (at++; signature[at] !== close; ) at = endOfType(signature, at);
  return at + 1;
}

function alignmentOf(type: string): number {
  switch (type[0]) {
    case "y":
    case "g":
    case "v":
      return 1;
    case "n":
    case "q":
      return 2;
    case "x":
    case "t":
    case "d":
    case "(":
    case "{":
      return 8;
    default:
      return 4;
  }
}

class Writer {
  #parts: Buffer[] = [];
  length = 0;

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }

  align(to: number): void {
    this.#add(Buffer.alloc((to - (this.length % to)) % to));
  }

  put(type: string, value: DbusValue): void {
    this.align(alignmentOf(type));
    switch (type[0]) {
      case "y":
        return this.#add(Buffer.from([Number(value)]));
      case "b":
        return this.#word(value === true ? 1 : 0);
      case "n":
      case "q":
        return this.#number(2, (bytes) => bytes.writeUInt16LE(Number(value) & 0xffff));
      case "u":
      case "i":
        return this.#word(Number(value) >>> 0);
      case "t":
      case "x":
        return this.#number(8, (bytes) => bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value as bigint))));
      case "d":
        return this.#number(8, (bytes) => bytes.writeDoubleLE(Number(value)));
      case "s":
      case "o":
        return this.#text(String(value), 4);
      case "g":
        return this.#text(String(value), 1);
      case "v": {
        const [signature, inner] = value as [string, DbusValue];
        this.#text(signature, 1);
        return this.put(signature, inner);
      }
      case "a":
        return this.#array(type.slice(1), value as DbusValue[]);
      case "(":
      case "{":
        return splitSignature(type.slice(1, -1)).forEach((each, index) => this.put(each, (value as DbusValue[])[index]!));
      default:
        throw new RangeError(`D-Bus: type ${JSON.stringify(type)}`);
    }
  }

  #add(bytes: Buffer): void {
    this.#parts.push(bytes);
    this.length += bytes.length;
  }

  #word(value: number): void {
    this.#number(4, (bytes) => bytes.writeUInt32LE(value));
  }

  #number(size: number, write: (bytes: Buffer) => void): void {
    const bytes = Buffer.alloc(size);
    write(bytes);
    this.#add(bytes);
  }

  #text(text: string, lengthBytes: 1 | 4): void {
    if (text.includes("\0")) throw new RangeError(`D-Bus: a NUL in ${JSON.stringify(text)}`);
    const bytes = Buffer.from(`${text}\0`);
    if (lengthBytes === 4) this.#word(bytes.length - 1);
    else this.#add(Buffer.from([bytes.length - 1]));
    this.#add(bytes);
  }

  /** Its length does not count what aligns the first element. */
  #array(type: string, values: Iterable<DbusValue>): void {
    const length = Buffer.alloc(4);
    this.#add(length);
    this.align(alignmentOf(type));
    const start = this.length;
    for (const value of values) this.put(type, value);
    length.writeUInt32LE(this.length - start);
  }
}

class Reader {
  #at = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  align(to: number): void {
    this.#at += (to - (this.#at % to)) % to;
  }

  take(type: string): DbusValue {
    this.align(alignmentOf(type));
    switch (type[0]) {
      case "y":
        return this.#bytes[this.#skip(1)]!;
      case "b":
        return this.#bytes.readUInt32LE(this.#skip(4)) !== 0;
      case "n":
        return this.#bytes.readInt16LE(this.#skip(2));
      case "q":
        return this.#bytes.readUInt16LE(this.#skip(2));
      case "u":
        return this.#bytes.readUInt32LE(this.#skip(4));
      case "i":
        return this.#bytes.readInt32LE(this.#skip(4));
      case "t":
        return this.#bytes.readBigUInt64LE(this.#skip(8));
      case "x":
        return this.#bytes.readBigInt64LE(this.#skip(8));
      case "d":
        return this.#bytes.readDoubleLE(this.#skip(8));
      case "s":
      case "o":
        return this.#text(this.#bytes.readUInt32LE(this.#skip(4)));
      case "g":
        return this.#text(this.#bytes[this.#skip(1)]!);
      case "v": {
        const signature = this.take("g") as string;
        return [signature, this.take(signature)];
      }
      case "a":
        return this.#array(type.slice(1));
      case "(":
      case "{":
        return splitSignature(type.slice(1, -1)).map((each) => this.take(each));
      default:
        throw new RangeError(`D-Bus: type ${JSON.stringify(type)}`);
    }
  }

  #skip(length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.length) throw new RangeError("D-Bus: a message that is too short");
    this.#at += length;
    return at;
  }

  #text(length: number): string {
    const at = this.#skip(length + 1);
    return this.#bytes.toString("utf8", at, at + length);
  }

  #array(type: string): DbusValue[] {
    const length = this.#bytes.readUInt32LE(this.#skip(4));
    this.align(alignmentOf(type));
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new RangeError("D-Bus: an array that is too long");
    const values: DbusValue[] = [];
    while (this.#at < end) values.push(this.take(type));
    return values;
  }
}
