/**
 * Buffers that a socket fills and a reader empties, used again and again. Reads that follow each other become one chunk.
 *
 *   room() ──filled──▶ received() ──▶ take(), which holds until the next take()
 */
const bufferBytes = 256 << 10;
/** Less is not worth a read. */
const leastRoom = 32 << 10;
/** Of readers that have ended; a few are enough for the downloads that run at once. */
const pool: Buffer[] = [];
const mostPooled = 12;

export class ReadBuffers {
  readonly #free: Buffer[] = [];
  #current: Buffer;
  #filled = 0;
  readonly #waiting: Buffer[] = [];
  #held: Buffer | undefined;
  #bytes = 0;

  constructor() {
    this.#current = this.#fresh();
  }

  /** As much is waiting as a reader should take at once. */
  get isFull(): boolean {
    return this.#bytes >= bufferBytes;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** Where the next bytes go. */
  room(): Buffer {
    if (this.#filled > bufferBytes - leastRoom) {
      const former = this.#current;
      this.#current = this.#free.pop() ?? this.#fresh();
      this.#filled = 0;
      this.#release(former);
    }
    return this.#current.subarray(this.#filled);
  }

  /** The beginning of a room(), now with bytes. */
  received(bytes: Buffer): void {
    this.#filled = bytes.byteOffset + bytes.length;
    this.#bytes += bytes.length;
    const last = this.#waiting.at(-1);
    if (last?.buffer === bytes.buffer && last.byteOffset + last.length === bytes.byteOffset) this.#waiting[this.#waiting.length - 1] = Buffer.from(last.buffer, last.byteOffset, last.length + bytes.length);
    else this.#waiting.push(bytes);
  }

  take(): Buffer | undefined {
    const former = this.#held;
    this.#held = this.#waiting.shift();
    this.#bytes -= this.#held?.length ?? 0;
    if (former && former.buffer !== this.#held?.buffer) this.#release(former);
    return this.#held;
  }

  /** Nothing that was taken holds any longer. */
  dispose(): void {
    const all = new Map([...this.#free, this.#current, ...this.#waiting, ...(this.#held ? [this.#held] : [])].map((buffer) => [buffer.buffer, Buffer.from(buffer.buffer)]));
    for (const buffer of all.values()) if (pool.length < mostPooled) pool.push(buffer);
    this.#free.length = this.#waiting.length = 0;
    this.#held = undefined;
    this.#current = Buffer.alloc(0);
  }

  #release({ buffer }: Buffer): void {
    const inUse = [this.#current, this.#held, ...this.#waiting].some((other) => other?.buffer === buffer);
    if (!inUse) this.#free.push(Buffer.from(buffer));
  }

  #fresh(): Buffer {
    return pool.pop() ?? Buffer.allocUnsafeSlow(bufferBytes);
  }
}
