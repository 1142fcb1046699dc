/** Reads a socket on demand: nothing is taken from it while nobody asks, so a slow reader slows the sender. */

/** What is used of a socket. */
export interface Connection {
  readonly destroyed: boolean;
  on(event: "readable" | "end" | "close", listener: () => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  /** Null: nothing now, or nothing more; an event tells which. */
  read(): unknown;
  write(bytes: Uint8Array): unknown;
  destroy(): unknown;
  ref(): unknown;
  unref(): unknown;
}

export class SocketReader {
  readonly #socket: Connection;
  readonly #kept: Buffer[] = [];
  #wake: (() => void) | undefined;
  #ended = false;
  #error: Error | undefined;

  constructor(socket: Connection) {
    this.#socket = socket;
    const wake = (): void => this.#wake?.();
    socket.on("readable", wake);
    socket.on("end", () => {
      this.#ended = true;
      wake();
    });
    socket.on("close", () => {
      this.#ended = true;
      wake();
    });
    socket.on("error", (error) => {
      this.#error = error;
      wake();
    });
  }

  /** The next bytes as they came, or undefined at the end. Throws the socket's error. */
  async read(): Promise<Buffer | undefined> {
    const kept = this.#kept.shift();
    if (kept) return kept;
    for (;;) {
      const chunk = this.#socket.read() as Buffer | null;
      if (chunk !== null) return chunk;
      if (this.#error) throw this.#error;
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }

  unread(chunk: Buffer): void {
    if (chunk.length > 0) this.#kept.unshift(chunk);
  }

  /** Bytes up to and with `mark`. Undefined if the stream ends before any byte; an error if it ends later. */
  async readThrough(mark: string, limit: number): Promise<string | undefined> {
    let seen: Buffer = Buffer.alloc(0);
    for (;;) {
      const chunk = await this.read();
      if (!chunk) {
        if (seen.length === 0) return undefined;
        throw new Error("unexpected EOF");
      }
      seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
      const end = seen.indexOf(mark);
      if (end >= 0) {
        this.unread(seen.subarray(end + mark.length));
        return seen.toString("latin1", 0, end + mark.length);
      }
      if (seen.length > limit) throw new Error("malformed HTTP response: header too long");
    }
  }

  /** At most `length` bytes. */
  async readSome(length: number): Promise<Buffer | undefined> {
    const chunk = await this.read();
    if (!chunk || chunk.length <= length) return chunk;
    this.unread(chunk.subarray(length));
    return chunk.subarray(0, length);
  }
}
