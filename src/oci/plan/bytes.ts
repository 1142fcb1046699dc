/** Writing and reading of the little-endian, length-prefixed form that plans and shim messages have; native/shim/wire.h is its counterpart. */
import { invalidParameter } from "../../lib/errors.ts";

export class ByteWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(size = 4096) {
    this.#buffer = Buffer.allocUnsafe(size);
  }

  #room(more: number): number {
    const at = this.#length;
    this.#length += more;
    if (this.#length > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#length, this.#buffer.length * 2));
      this.#buffer.copy(grown, 0, 0, at);
      this.#buffer = grown;
    }
    return at;
  }

  u8(value: number): void {
    const at = this.#room(1);
    this.#buffer[at] = value;
  }

  bool(value: boolean | undefined): void {
    this.u8(value ? 1 : 0);
  }

  u32(value: number): void {
    const at = this.#room(4);
    this.#buffer.writeUInt32LE(value >>> 0, at);
  }

  u64(value: bigint): void {
    const at = this.#room(8);
    this.#buffer.writeBigUInt64LE(BigInt.asUintN(64, value), at);
  }

  /** A string that C reads in place. Throws invalid-parameter when it has a zero byte inside. */
  string(value: string): void {
    if (value.includes("\0")) throw invalidParameter(`a zero byte in ${JSON.stringify(value)}`);
    const most = value.length * 3;
    const at = this.#room(4 + most + 1);
    const written = this.#buffer.write(value, at + 4);
    this.#buffer.writeUInt32LE(written, at);
    this.#buffer[at + 4 + written] = 0;
    this.#length = at + 4 + written + 1;
  }

  blob(value: Uint8Array): void {
    this.u32(value.length);
    const at = this.#room(value.length);
    this.#buffer.set(value, at);
  }

  list<T>(items: readonly T[], write: (item: T) => void): void {
    this.u32(items.length);
    for (const item of items) write(item);
  }

  strings(items: readonly string[] | undefined): void {
    this.list(items ?? [], (item) => this.string(item));
  }

  /** What `write` writes, with its length before it. */
  part(write: () => void): void {
    const at = this.#room(4);
    write();
    this.#buffer.writeUInt32LE(this.#length - at - 4, at);
  }

  raw(value: Uint8Array): void {
    const at = this.#room(value.length);
    this.#buffer.set(value, at);
  }

  /** What was written so far; shares memory with the writer. */
  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }
}

/** Reads what C wrote; throws RangeError past the end. */
export class ByteReader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  u8(): number {
    const value = this.#buffer.readUInt8(this.#at);
    this.#at += 1;
    return value;
  }

  bool(): boolean {
    return this.u8() === 1;
  }

  u32(): number {
    const value = this.#buffer.readUInt32LE(this.#at);
    this.#at += 4;
    return value;
  }

  i32(): number {
    const value = this.#buffer.readInt32LE(this.#at);
    this.#at += 4;
    return value;
  }

  u64(): bigint {
    const value = this.#buffer.readBigUInt64LE(this.#at);
    this.#at += 8;
    return value;
  }

  string(): string {
    const length = this.u32();
    if (this.#at + length >= this.#buffer.length) throw new RangeError("string past the end of a message");
    const value = this.#buffer.toString("utf8", this.#at, this.#at + length);
    this.#at += length + 1;
    return value;
  }

  list<T>(read: () => T): T[] {
    const items: T[] = [];
    for (let left = this.u32(); left > 0; left--) items.push(read());
    return items;
  }
}
