/**
 * HTTP/1.1 over one socket, as far as the Engine API needs it: a request with or without a streamed body, an answer whose
 * body is read on demand, and the switch to a raw stream (hijacking). node:http would cost a third of a short command's time.
 */
import type { Socket } from "node:net";
import { BlockingSocket } from "./blocking-socket.ts";
import { type Connection, SocketReader } from "./reader.ts";

export interface HttpRequest {
  method: string;
  path: string;
  headers: Record<string, string>;
  body?: Uint8Array | AsyncIterable<Uint8Array> | undefined;
}

export interface HttpResponse {
  status: number;
  reason: string;
  headers: Map<string, string>;
  body: AsyncIterable<Buffer>;
  /** Set when the connection has become a raw stream. */
  raw?: { socket: Socket; reader: SocketReader };
}

const HEADER_LIMIT = 1 << 20;

export class HttpConnection {
  readonly socket: Connection;
  readonly #reader: SocketReader;
  readonly #onIdle: (connection: HttpConnection) => void;

  /** `onIdle` is called when an answer was read to its end and the connection can carry another request. */
  constructor(socket: Connection, onIdle: (connection: HttpConnection) => void) {
    this.socket = socket;
    this.#reader = new SocketReader(socket);
    this.#onIdle = onIdle;
  }

  /** For streams in both directions at once. */
  get #whole(): Socket {
    if (this.socket instanceof BlockingSocket) throw new TypeError("a blocking connection only asks and answers");
    return this.socket as Socket;
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    const { body } = request;
    const headers = { ...request.headers };
    const streamed = body !== undefined && !(body instanceof Uint8Array);
    if (streamed) headers["Transfer-Encoding"] = "chunked";
    else if (body || request.method === "POST" || request.method === "PUT") headers["Content-Length"] = String(body?.length ?? 0);
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value.replace(/[\r\n]/g, " ")}\r\n`);
    const head = Buffer.from(`${request.method} ${request.path} HTTP/1.1\r\n${lines.join("")}\r\n`);
    this.socket.write(body instanceof Uint8Array ? Buffer.concat([head, body]) : head);
    const upload = streamed ? new Upload(this.#whole, body) : undefined;
    const response = await Promise.race([this.#receive(request), ...(upload ? [upload.failure] : [])]);
    if (response.status >= 400) upload?.stop();
    return response;
  }

  async #receive(request: HttpRequest): Promise<HttpResponse> {
    for (;;) {
      const head = await this.#reader.readThrough("\r\n\r\n", HEADER_LIMIT);
      if (head === undefined) throw new Error("EOF");
      const { status, reason, headers } = parseHead(head);
      if (status >= 100 && status < 200 && status !== 101) continue;
      if (status === 101 || headers.get("content-type") === "application/vnd.docker.raw-stream" && request.headers["Upgrade"] !== undefined) {
        return { status, reason, headers, body: this.#untilClose(), raw: { socket: this.#whole, reader: this.#reader } };
      }
      return { status, reason, headers, body: this.#body(request, { status, headers }) };
    }
  }

  #body(request: HttpRequest, head: { status: number; headers: Map<string, string> }): AsyncIterable<Buffer> {
    const reusable = head.headers.get("connection")?.toLowerCase() !== "close";
    const done = (): void => {
      if (reusable) this.#onIdle(this);
      else this.socket.destroy();
    };
    const length = head.headers.get("content-length");
    if (request.method === "HEAD" || head.status === 204 || head.status === 304 || length === "0") {
      done();
      return empty();
    }
    if (head.headers.get("transfer-encoding")?.toLowerCase() === "chunked") return this.#chunked(done);
    return length === undefined ? this.#untilClose() : this.#counted(Number(length), done);
  }

  async *#counted(length: number, done: () => void): AsyncGenerator<Buffer> {
    for (let left = length; left > 0; ) {
      const chunk = await this.#reader.readSome(left);
      if (!chunk) throw new Error("unexpected EOF");
      left -= chunk.length;
      if (left === 0) done();
      yield chunk;
    }
  }

  async *#chunked(done: () => void): AsyncGenerator<Buffer> {
    for (;;) {
      const line = await this.#reader.readThrough("\r\n", HEADER_LIMIT);
      if (line === undefined) throw new Error("unexpected EOF");
      const size = Number.parseInt(line, 16);
      if (!(size >= 0)) throw new Error("malformed chunked encoding");
      for (let left = size; left > 0; ) {
        const chunk = await this.#reader.readSome(left);
        if (!chunk) throw new Error("unexpected EOF");
        left -= chunk.length;
        yield chunk;
      }
      const end = await this.#reader.readThrough("\r\n", HEADER_LIMIT);
      if (end === undefined) throw new Error("unexpected EOF");
      if (size > 0) continue;
      for (let trailer = end; trailer !== "\r\n"; ) trailer = (await this.#reader.readThrough("\r\n", HEADER_LIMIT)) ?? "\r\n";
      done();
      return;
    }
  }

  async *#untilClose(): AsyncGenerator<Buffer> {
    for (;;) {
      const chunk = await this.#reader.read();
      if (!chunk) return;
      yield chunk;
    }
  }
}

async function* empty(): AsyncGenerator<Buffer> {}

function parseHead(head: string): { status: number; reason: string; headers: Map<string, string> } {
  const [first = "", ...lines] = head.split("\r\n");
  const match = /^HTTP\/1\.[01] (\d{3}) ?(.*)$/.exec(first);
  if (!match) throw new Error(`malformed HTTP response ${JSON.stringify(first)}`);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon > 0) headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  return { status: Number(match[1]), reason: match[2] ?? "", headers };
}

/** Sends a body in chunks while the answer is awaited: a daemon may refuse before it has read everything. */
class Upload {
  readonly failure: Promise<never>;
  #stopped = false;

  constructor(socket: Socket, body: AsyncIterable<Uint8Array>) {
    this.failure = new Promise((_, reject) => {
      this.#run(socket, body).catch(reject);
    });
    this.failure.catch(() => undefined);
  }

  stop(): void {
    this.#stopped = true;
  }

  async #run(socket: Socket, body: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of body) {
      if (this.#stopped || socket.destroyed) return;
      if (chunk.length === 0) continue;
      socket.cork();
      socket.write(`${chunk.length.toString(16)}\r\n`);
      socket.write(chunk);
      const room = socket.write("\r\n");
      socket.uncork();
      if (!room) await new Promise<void>((resolve) => {
        const done = (): void => {
          socket.off("drain", done).off("close", done);
          resolve();
        };
        socket.once("drain", done).once("close", done);
      });
    }
    if (!this.#stopped && !socket.destroyed) socket.write("0\r\n\r\n");
  }
}
