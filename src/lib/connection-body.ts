/** A request's body that nobody has read yet: what reads it off its connection, on a thread of its own, spares the daemon's. */
export interface ConnectionBody {
  /** Of the connection. Its owner keeps it open and does not read meanwhile. */
  fd: number;
  /** What of the body came with the request's head. */
  head: Uint8Array;
  /** In bytes; undefined: it comes in chunks. */
  length: number | undefined;
  /** Aborted when nobody wants it any more. */
  signal: AbortSignal;
}

/** Bytes that are a body still in its connection: they are read there, not iterated over. */
export class UnreadBody implements AsyncIterable<Uint8Array> {
  readonly connection: ConnectionBody;

  constructor(connection: ConnectionBody) {
    this.connection = connection;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    throw new Error("this body is to be read off its connection");
  }
}
