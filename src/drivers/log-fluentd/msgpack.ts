/** What of MessagePack the forward protocol needs to be written: strings, whole numbers, lists, maps and its own time. */

/** An instant with nanoseconds: fluentd's extension type 0. */
export class EventTime {
  readonly seconds: number;
  readonly nanoseconds: number;

  constructor(seconds: number, nanoseconds: number) {
    this.seconds = seconds;
    this.nanoseconds = nanoseconds;
  }
}

export type Packable = string | number | EventTime | readonly Packable[] | { readonly [key: string]: Packable };

export class Packer {
  #bytes = Buffer.allocUnsafe(64 * 1024);
  #used = 0;

  finish(): Buffer {
    return this.#bytes.subarray(0, this.#used);
  }

  write(value: Packable): this {
    if (typeof value === "string") return this.#string(value);
    if (typeof value === "number") return this.#number(value);
    if (value instanceof EventTime) return this.#time(value);
    if (isList(value)) {
      this.#head({ short: 0x90, shortMost: 15, wide: 0xdc }, value.length);
      for (const item of value) this.write(item);
      return this;
    }
    const entries = Object.entries(value);
    this.#head({ short: 0x80, shortMost: 15, wide: 0xde }, entries.length);
    for (const [key, item] of entries) this.#string(key).write(item);
    return this;
  }

  /** How many of a list or map: in the first byte, in two more, or in four. */
  #head({ short, shortMost, wide }: { short: number; shortMost: number; wide: number }, count: number): void {
    this.#room(5);
    if (count <= shortMost) this.#u8(short | count);
    else if (count <= 0xffff) this.#u8(wide).#u16(count);
    else this.#u8(wide + 1).#u32(count);
  }

  #string(text: string): this {
    const length = Buffer.byteLength(text);
    this.#room(length + 5);
    if (length < 32) this.#u8(0xa0 | length);
    else if (length <= 0xff) this.#u8(0xd9).#u8(length);
    else if (length <= 0xffff) this.#u8(0xda).#u16(length);
    else this.#u8(0xdb).#u32(length);
    this.#used += this.#bytes.write(text, this.#used);
    return this;
  }

  /** Not negative, below 2^32. */
  #number(value: number): this {
    this.#room(5);
    if (value < 128) this.#u8(value);
    else this.#u8(0xce).#u32(value);
    return this;
  }

  #time({ seconds, nanoseconds }: EventTime): this {
    this.#room(10);
    return this.#u8(0xd7).#u8(0).#u32(seconds).#u32(nanoseconds);
  }

  #u8(value: number): this {
    this.#used = this.#bytes.writeUInt8(value, this.#used);
    return this;
  }
  #u16(value: number): this {
    this.#used = this.#bytes.writeUInt16BE(value, this.#used);
    return this;
  }
  #u32(value: number): this {
    this.#used = this.#bytes.writeUInt32BE(value, this.#used);
    return this;
  }

  #room(bytes: number): void {
    if (this.#used + bytes <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#used + bytes));
    this.#bytes.copy(grown, 0, 0, this.#used);
    this.#bytes = grown;
  }
}

const isList = (value: object): value is readonly Packable[] => Array.isArray(value);
