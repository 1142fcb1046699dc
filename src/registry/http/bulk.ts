/**
 * A GET over a connection of its own, for large bodies: the kernel's bytes arrive in buffers that are used again and again, which costs half
 * of what node:http takes, and the reader's pace holds the sender back.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { Socket } from "node:net";
import type { SecureContext } from "node:tls";
import type { AnswerBody } from "../../lib/connection-body.ts";
import type { HttpRequest, HttpResponse } from "./client.ts";
import { connectionError } from "./connection-error.ts";
import { hostnameOf } from "../../lib/proxy.ts";
import { ReadBuffers } from "./read-buffers.ts";

export interface BulkOptions {
  /** Of an https address. */
  secureContext: SecureContext | undefined;
  dialMilliseconds: number;
  stallMilliseconds: number;
}

const mostHeadBytes = 64 << 10;

export async function bulkGet(request: HttpRequest, options: BulkOptions): Promise<HttpResponse> {
  const { method, url } = request;
  const connection = await Connection.open(request, options);
  try {
    connection.write(headOf(request));
    const { status, headers, rest } = await readHead(connection);
    const reason = process.getBuiltinModule("node:http").STATUS_CODES[status] ?? "";
    const body = framed(connection, { headers, rest, status });
    return { method, url, status, statusLine: `${status} ${reason}`, headers, body: told(body, connection, request), discard: () => connection.close(), leave: (length) => connection.leave(rest, length) };
  } catch (error) {
    connection.close();
    throw error;
  }
}

function headOf({ method, url, headers }: HttpRequest): Buffer {
  const lines = Object.entries({ host: url.host, ...headers, connection: "close" }).map(([name, value]) => `${name}: ${value.replace(/[\r\n]/g, " ")}\r\n`);
  return Buffer.from(`${method} ${url.pathname}${url.search} HTTP/1.1\r\n${lines.join("")}\r\n`, "latin1");
}

const broken = (message: string): Error => Object.assign(new Error(message), { code: "ECONNRESET" });

class Connection {
  readonly #socket: Socket;
  readonly #stallMilliseconds: number;
  readonly #secure: boolean;
  readonly #signal: AbortSignal;
  readonly #buffers = new ReadBuffers();
  #ended: { error: Error | undefined } | undefined;
  #wake: (() => void) | undefined;
  #closed = false;

  static async open(request: HttpRequest, options: BulkOptions): Promise<Connection> {
    const connection = new Connection(request, options);
    await connection.#connected(request, options.dialMilliseconds);
    return connection;
  }

  private constructor({ url, tls, signal }: HttpRequest, options: BulkOptions) {
    this.#stallMilliseconds = options.stallMilliseconds;
    const host = hostnameOf(url);
    const onread = { buffer: () => this.#buffers.room(), callback: (length: number, buffer: Uint8Array) => this.#received((buffer as Buffer).subarray(0, length)) };
    const secure = options.secureContext;
    this.#secure = secure !== undefined;
    this.#signal = signal ?? new AbortController().signal;
    const target = { host, port: Number(url.port || (secure ? 443 : 80)), onread };
    const { isIP } = process.getBuiltinModule("node:net");
    this.#socket = secure
      ? process.getBuiltinModule("node:tls").connect({ ...target, secureContext: secure, rejectUnauthorized: !tls.skipVerify, ...(isIP(host) === 0 ? { servername: host } : {}) })
      : process.getBuiltinModule("node:net").connect(target);
    this.#socket.on("error", (error) => this.#end(error));
    this.#socket.on("end", () => this.#end(undefined));
    const abort = (): void => void this.#socket.destroy(signal?.reason instanceof Error ? signal.reason : new Error("aborted"));
    signal?.addEventListener("abort", abort, { once: true });
    this.#socket.on("close", () => {
      signal?.removeEventListener("abort", abort);
      this.#end(undefined);
    });
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  /** What is still to come stays where it is; `first` came with the head. */
  leave(first: Buffer, length: number): AnswerBody | undefined {
    const { fd } = (this.#socket as { _handle?: { fd?: number } })._handle ?? {};
    if (this.#secure || this.#ended || fd === undefined || fd < 0) return undefined;
    this.#socket.pause();
    const parts = [Buffer.from(first)];
    for (let chunk = this.#buffers.take(); chunk; chunk = this.#buffers.take()) parts.push(Buffer.from(chunk));
    return { fd, head: Buffer.concat(parts).subarray(0, length), length, signal: this.#signal, stallMilliseconds: this.#stallMilliseconds };
  }

  /** The chunks that were given out hold no longer. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.destroy();
    this.#buffers.dispose();
  }

  /** The next bytes, which hold until the next call; undefined at the end of the connection. */
  async next(): Promise<Buffer | undefined> {
    if (this.#buffers.isEmpty && !this.#ended) {
      const timer = setTimeout(() => this.#socket.destroy(Object.assign(new Error("i/o timeout"), { code: "ETIMEDOUT" })), this.#stallMilliseconds);
      this.#socket.resume();
      await new Promise<void>((resolve) => (this.#wake = resolve));
      clearTimeout(timer);
    }
    const chunk = this.#buffers.take();
    if (!this.#ended) this.#socket.resume();
    if (!chunk && this.#ended?.error) throw this.#ended.error;
    return chunk;
  }

  /** False: no more until the reader has taken this. TLS may bring some more nevertheless. */
  #received(bytes: Buffer): boolean {
    if (this.#closed) return false;
    this.#buffers.received(bytes);
    this.#woken();
    return !this.#buffers.isFull;
  }

  #end(error: Error | undefined): void {
    this.#ended ??= { error };
    this.#woken();
  }

  #woken(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  async #connected({ url }: HttpRequest, milliseconds: number): Promise<void> {
    const timer = setTimeout(() => this.#socket.destroy(Object.assign(new Error("i/o timeout"), { code: "ETIMEDOUT" })), milliseconds);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#socket.once(url.protocol === "https:" ? "secureConnect" : "connect", resolve);
        this.#socket.once("error", reject);
        this.#socket.once("close", () => reject(broken("EOF")));
      });
    } finally {
      clearTimeout(timer);
    }
  }
}

async function readHead(connection: Connection): Promise<{ status: number; headers: IncomingHttpHeaders; rest: Buffer }> {
  let head = Buffer.alloc(0);
  for (;;) {
    const chunk = await connection.next();
    if (!chunk) throw broken("socket hang up");
    /* Chunks that follow are in the reader's buffer until the next call: the copy is of the head alone. */
    const end = Buffer.concat([head.subarray(-3), chunk.subarray(0, mostHeadBytes)]).indexOf("\r\n\r\n");
    if (end >= 0) {
      const at = end + 4 - Math.min(3, head.length);
      const { status, headers } = parseHead(Buffer.concat([head, chunk.subarray(0, at)]).toString("latin1"));
      if (status >= 200) return { status, headers, rest: chunk.subarray(at) };
      throw new Error(`unexpected status ${status}`);
    }
    head = Buffer.concat([head, chunk]);
    if (head.length > mostHeadBytes) throw new Error("the answer's head is too long");
  }
}

function parseHead(text: string): { status: number; headers: IncomingHttpHeaders } {
  const [first = "", ...lines] = text.split("\r\n");
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1] ?? Number.NaN);
  if (Number.isNaN(status)) throw new Error(`malformed HTTP response ${JSON.stringify(first.slice(0, 100))}`);
  const headers: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const name = line.slice(0, colon).trim().toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (name === "content-length" && headers[name] !== undefined && headers[name] !== value) throw new Error("the answer has two lengths");
    headers[name] = headers[name] === undefined || name === "content-length" ? value : `${headers[name]}, ${value}`;
  }
  return { status, headers };
}

interface Frame {
  status: number;
  headers: IncomingHttpHeaders;
  /** The body's first bytes, which came with the head. */
  rest: Buffer;
}

/** The body by its length, its chunks, or the connection's end (RFC 9112, section 6.3). */
async function* framed(connection: Connection, { status, headers, rest }: Frame): AsyncGenerator<Uint8Array> {
  if (status === 204 || status === 304) return;
  if (/(^|,)\s*chunked\s*$/i.test(String(headers["transfer-encoding"] ?? ""))) return yield* dechunked(connection, rest);
  const length = headers["content-length"] === undefined ? Number.POSITIVE_INFINITY : Number(headers["content-length"]);
  if (Number.isNaN(length)) throw new Error("malformed content-length");
  let left = length;
  for (let chunk: Buffer | undefined = rest; ; chunk = await connection.next()) {
    if (!chunk) {
      if (length === Number.POSITIVE_INFINITY) return;
      throw broken("unexpected EOF");
    }
    const wanted = chunk.length > left ? chunk.subarray(0, left) : chunk;
    left -= wanted.length;
    if (wanted.length > 0) yield wanted;
    if (left === 0) return;
  }
}

const mostLineBytes = 4096;

async function* dechunked(connection: Connection, first: Buffer): AsyncGenerator<Uint8Array> {
  let left = 0;
  let line = "";
  let inTrailer = false;
  for (let chunk: Buffer | undefined = first; ; chunk = await connection.next()) {
    if (!chunk) throw broken("unexpected EOF");
    for (let at = 0; at < chunk.length; ) {
      if (left > 0) {
        const data = chunk.subarray(at, at + left);
        left -= data.length;
        at += data.length;
        yield data;
        continue;
      }
      const end = chunk.indexOf(10, at);
      line += chunk.toString("latin1", at, end < 0 ? chunk.length : end + 1);
      at = end < 0 ? chunk.length : end + 1;
      if (line.length > mostLineBytes) throw new Error("malformed chunked encoding");
      if (end < 0) continue;
      const text = line.trim();
      line = "";
      if (text === "" && inTrailer) return;
      if (text === "" || inTrailer) continue;
      const size = /^([0-9a-f]{1,12})\s*(?:;.*)?$/i.exec(text)?.[1];
      if (size === undefined) throw new Error("malformed chunked encoding");
      left = Number.parseInt(size, 16);
      inTrailer = left === 0;
    }
  }
}

/** With Go's words for what breaks; the connection ends with the reading. */
async function* told(body: AsyncGenerator<Uint8Array>, connection: Connection, request: HttpRequest): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (cause) {
    throw connectionError(cause, request);
  } finally {
    connection.close();
  }
}
