/** The Engine API over a unix socket, as bare as a test or a measurement wants it. */
import { Agent, type IncomingMessage, type OutgoingHttpHeaders, request } from "node:http";
import { connect, type Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import type { Readable } from "node:stream";

export interface Call {
  /** Sent as JSON. */
  json?: unknown;
  body?: Buffer | Readable;
  query?: Record<string, string | number | boolean | object>;
  headers?: OutgoingHttpHeaders;
  /** Fail instead of waiting longer; 60 s unless told. */
  timeoutMs?: number;
}

export interface Reply {
  status: number;
  headers: IncomingMessage["headers"];
  body: Buffer;
}

// The shapes of answers are what the tests are about, so they are read without types.
// oxlint-disable-next-line typescript/no-explicit-any
export type Json = any;

export class Api {
  readonly socket: string;
  #agent: Agent;

  constructor(socket: string) {
    this.socket = socket;
    this.#agent = new Agent({ keepAlive: true, maxSockets: 64 });
  }

  close(): void {
    this.#agent.destroy();
  }

  /** The answer's head has come; the body is the caller's to read. */
  open(method: string, path: string, call: Call = {}): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const body = call.json === undefined ? call.body : Buffer.from(JSON.stringify(call.json));
      const headers: OutgoingHttpHeaders = { ...(call.json === undefined ? {} : { "content-type": "application/json" }), ...call.headers };
      if (Buffer.isBuffer(body)) headers["content-length"] = body.length;
      const req = request({ socketPath: this.socket, agent: this.#agent, method, path: withQuery(path, call.query), headers, timeout: call.timeoutMs ?? 60_000 });
      req.on("timeout", () => req.destroy(new Error(`${method} ${path}: no answer in time`)));
      req.on("response", resolve);
      req.on("error", reject);
      if (body === undefined || Buffer.isBuffer(body)) req.end(body);
      else body.pipe(req);
    });
  }

  async send(method: string, path: string, call: Call = {}): Promise<Reply> {
    const res = await this.open(method, path, call);
    return { status: res.statusCode ?? 0, headers: res.headers, body: await buffer(res) };
  }

  /** The answer's JSON (undefined without a body); throws with Docker's message when the status is 400 or above. */
  async json(method: string, path: string, call: Call = {}): Promise<Json> {
    const { status, body } = await this.send(method, path, call);
    const text = body.toString();
    if (status >= 400) throw new Error(`${method} ${path}: ${status} ${text.trim()}`);
    return text.trim() === "" ? undefined : JSON.parse(text);
  }

  /** The number of bytes of an answer, head included, on a connection of its own: the cheapest way to read a large one. */
  countBytes(path: string): Promise<number> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.socket);
      let bytes = 0;
      socket.on("data", (data: Buffer) => {
        if (bytes === 0 && data.toString("latin1", 9, 12) !== "200") socket.destroy(new Error(`GET ${path}: ${data.toString()}`));
        bytes += data.length;
      });
      socket.on("end", () => resolve(bytes));
      socket.on("error", reject);
      socket.write(`GET ${path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n`);
    });
  }

  /** A hijacked connection (attach, exec start), past its head. */
  hijack(path: string, json: unknown = undefined): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const body = json === undefined ? "" : JSON.stringify(json);
      const type = json === undefined ? "" : `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`;
      const socket = connect(this.socket);
      let head = Buffer.alloc(0);
      const onData = (data: Buffer): void => {
        head = Buffer.concat([head, data]);
        const end = head.indexOf("\r\n\r\n");
        if (end < 0) return;
        socket.off("data", onData);
        socket.off("error", reject);
        socket.off("close", onClose);
        socket.pause();
        const status = Number(head.toString("latin1", 9, 12));
        if (status !== 101 && status !== 200) {
          socket.destroy();
          return reject(new Error(`POST ${path}: ${head.toString()}`));
        }
        if (head.length > end + 4) socket.unshift(head.subarray(end + 4));
        resolve(socket);
      };
      const onClose = (): void => reject(new Error(`POST ${path}: socket hang up`));
      socket.on("data", onData);
      socket.on("error", reject);
      socket.on("close", onClose);
      socket.write(`POST ${path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n${type}\r\n${body}`);
    });
  }
}

function withQuery(path: string, query: Call["query"]): string {
  if (query === undefined) return path;
  const pairs = Object.entries(query).map(([key, value]) => `${key}=${encodeURIComponent(typeof value === "object" ? JSON.stringify(value) : String(value))}`);
  return `${path}${path.includes("?") ? "&" : "?"}${pairs.join("&")}`;
}

/** Docker's multiplexed stream, joined per stream. */
export function demultiplex(data: Buffer): { stdout: string; stderr: string } {
  const parts: Record<number, Buffer[]> = { 1: [], 2: [] };
  for (let at = 0; at + 8 <= data.length; ) {
    const size = data.readUInt32BE(at + 4);
    (parts[data[at] ?? 0] ??= []).push(data.subarray(at + 8, at + 8 + size));
    at += 8 + size;
  }
  return { stdout: Buffer.concat(parts[1] ?? []).toString(), stderr: Buffer.concat(parts[2] ?? []).toString() };
}
