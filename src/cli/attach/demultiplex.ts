/**
 * Splits the multiplexed stream of a container without a terminal: frames of
 *
 *     [stream: 1 byte][0, 0, 0][length: 4 bytes, big endian][payload]
 *
 * Payload bytes are passed on as they arrive; neighbouring payloads of one stream in a chunk are joined in place.
 */
const HEADER = 8;
const STDERR = 2;
const SYSTEM_ERROR = 3;

export interface Sinks {
  stdout: ((bytes: Uint8Array) => void) | undefined;
  stderr: ((bytes: Uint8Array) => void) | undefined;
}

export class Demultiplexer {
  readonly #sinks: Sinks;
  readonly #header = Buffer.alloc(HEADER);
  #headerLength = 0;
  #stream = 0;
  #left = 0;
  #systemError = "";

  constructor(sinks: Sinks) {
    this.#sinks = sinks;
  }

  /** Takes a chunk, which it may overwrite. Throws an error that the daemon sent within the stream. */
  push(chunk: Buffer): void {
    let joined = { stream: this.#stream, start: 0, end: 0 };
    for (let at = 0; at < chunk.length; ) {
      if (this.#left === 0) {
        at = this.#readHeader(chunk, at);
        if (this.#left === 0) continue;
      }
      const length = Math.min(this.#left, chunk.length - at);
      if (joined.stream !== this.#stream || joined.end === joined.start) {
        this.#flush(chunk, joined);
        joined = { stream: this.#stream, start: at, end: at };
      }
      if (joined.end !== at) chunk.copyWithin(joined.end, at, at + length);
      joined.end += length;
      at += length;
      this.#left -= length;
    }
    this.#flush(chunk, joined);
    if (this.#systemError !== "" && this.#left === 0) throw new Error(`error from daemon in stream: ${this.#systemError}`);
  }

  #readHeader(chunk: Buffer, at: number): number {
    const length = Math.min(HEADER - this.#headerLength, chunk.length - at);
    chunk.copy(this.#header, this.#headerLength, at, at + length);
    this.#headerLength += length;
    if (this.#headerLength === HEADER) {
      this.#stream = this.#header[0] as number;
      if (this.#stream > SYSTEM_ERROR) throw new Error(`unrecognized input header: ${this.#stream}`);
      this.#left = this.#header.readUInt32BE(4);
      this.#headerLength = 0;
    }
    return at + length;
  }

  #flush(chunk: Buffer, part: { stream: number; start: number; end: number }): void {
    if (part.end === part.start) return;
    const bytes = chunk.subarray(part.start, part.end);
    if (part.stream === SYSTEM_ERROR) this.#systemError += bytes.toString();
    else if (part.stream === STDERR) this.#sinks.stderr?.(bytes);
    else this.#sinks.stdout?.(bytes);
  }
}
