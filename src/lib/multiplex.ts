/** Docker's multiplexed stream: [1 stdout | 2 stderr, 0, 0, 0, length as 32-bit big-endian] before each piece. */
const HEADER_BYTES = 8;

/** One piece of a stream with its header. */
export function frame(stream: 1 | 2, data: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header[0] = stream;
  header.writeUInt32BE(data.length, 4);
  return Buffer.concat([header, data]);
}

/** Takes whole frames out of what was read so far. */
export class FrameReader {
  #held: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): { stream: number; data: Buffer }[] {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const frames: { stream: number; data: Buffer }[] = [];
    while (this.#held.length >= HEADER_BYTES) {
      const length = this.#held.readUInt32BE(4);
      if (this.#held.length < HEADER_BYTES + length) break;
      frames.push({ stream: this.#held[0] as number, data: this.#held.subarray(HEADER_BYTES, HEADER_BYTES + length) });
      this.#held = this.#held.subarray(HEADER_BYTES + length);
    }
    return frames;
  }
}

/** Both streams' text of a complete capture, in order. */
export function unframe(capture: Buffer): Buffer {
  return Buffer.concat(new FrameReader().push(capture).map((entry) => entry.data));
}
