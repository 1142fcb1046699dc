/** A body that nobody has read yet: what reads it off its connection, on a thread of its own, spares the daemon's. */
export interface ConnectionBody {
  /** The connection's descriptor, to be duplicated at once; -1 when it is closed. Its owner does not read meanwhile. */
  readonly fd: number;
  /** What of the body came with the head before it. */
  head: Uint8Array;
  /** In bytes; undefined: it comes in chunks. */
  length: number | undefined;
  /** Aborted when nobody wants it any more. */
  signal: AbortSignal;
}

/** The rest of an answer's body, of which nobody has read more than the head. */
export interface AnswerBody extends ConnectionBody {
  length: number;
  /** How long to wait for bytes. */
  stallMilliseconds: number;
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

/** A connection that waits for the rest of an answer, and does not block. */
export interface AnswerConnection {
  /** To be duplicated at once; -1 when it is closed. */
  readonly fd: number;
  /** Aborted when nobody wants the rest. */
  signal: AbortSignal;
}

/** Bytes that a thread can also write into a connection itself, as chunks of HTTP without the last one, instead of being iterated over. */
export interface SendableBytes extends AsyncIterable<Uint8Array> {
  /** An AbortError when the receiver has left. */
  sendTo(connection: AnswerConnection): Promise<void>;
}

export const isSendable = (bytes: AsyncIterable<Uint8Array>): bytes is SendableBytes => "sendTo" in bytes;
