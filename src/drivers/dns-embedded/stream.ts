/** DNS over TCP: each message after its length, two bytes (RFC 1035, 4.2.2). */

export function framed(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(2 + message.length);
  frame.writeUInt16BE(message.length, 0);
  frame.set(message, 2);
  return frame;
}

/** Cuts what arrives into messages. It keeps at most one that is unfinished. */
export class MessageStream {
  readonly #deliver: (message: Buffer) => void;
  readonly #maxBytes: number;
  #rest: Buffer = Buffer.alloc(0);

  constructor(deliver: (message: Buffer) => void, maxBytes = 0xffff) {
    this.#deliver = deliver;
    this.#maxBytes = maxBytes;
  }

  /** false: a message is larger than this end takes. */
  push(data: Buffer): boolean {
    let rest = this.#rest.length > 0 ? Buffer.concat([this.#rest, data]) : data;
    while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
      const end = 2 + rest.readUInt16BE(0);
      this.#deliver(rest.subarray(2, end));
      rest = rest.subarray(end);
    }
    this.#rest = rest;
    return rest.length < 2 || rest.readUInt16BE(0) <= this.#maxBytes;
  }
}
