/**
 * A connection to a server of streams that is made again when it breaks. What was written last may have been in the buffers
 * of a server that went away: for some seconds it is kept, and written again first to the next connection.
 */
import { connect, type Socket } from "node:net";
import type { ConnectionOptions } from "node:tls";

export interface StreamAddress {
  /** A unix socket; otherwise host and port. */
  path?: string;
  host?: string;
  port?: number;
  tls?: ConnectionOptions;
}

export interface StreamOptions {
  /** What the server says. */
  received?: (bytes: Buffer) => void;
  /** A connection broke or was closed. */
  closed?: () => void;
  /** false: the protocol tells what arrived, nothing is written again. */
  resend?: boolean;
  connectMilliseconds?: number;
  /** A write that takes longer breaks the connection; 0: any time. */
  writeMilliseconds?: number;
}

const CONNECT_MS = 10_000;
const CLOSE_MS = 3000;
/** So long a server that does not fail has read what it was sent; what is still in our own buffers is kept longer. */
const SETTLED_MS = 10_000;
const KEPT_BYTES = 16 * 1024 * 1024;

interface Sent {
  bytes: Buffer;
  at: number;
}

export class ResendingStream {
  readonly #address: StreamAddress;
  readonly #options: StreamOptions;
  #socket: Socket | undefined;
  #opening: Promise<Socket> | undefined;
  #sent: Sent[] = [];
  #sentBytes = 0;
  #broken = false;

  constructor(address: StreamAddress, options: StreamOptions = {}) {
    this.#address = address;
    this.#options = options;
  }

  /** Rejects in Go's words when nobody answers. */
  async open(): Promise<void> {
    await this.#connected();
  }

  /** Resolves when the kernel has it. Rejects when the connection broke; then it may have arrived in parts. */
  async write(bytes: Buffer): Promise<void> {
    const socket = await this.#connected();
    await this.#put(socket, bytes);
    if (this.#options.resend !== false) this.#keep(bytes);
  }

  /** Waits a little for the server to have read everything. A write after it connects again. */
  async close(): Promise<void> {
    const socket = this.#socket;
    if (!socket) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, CLOSE_MS);
      socket.once("close", () => (clearTimeout(timer), resolve()));
      socket.end();
    });
    socket.destroy();
    this.#socket = undefined;
    if (!this.#broken) this.#forget();
  }

  abort(): void {
    this.#socket?.destroy();
  }

  #connected(): Promise<Socket> {
    if (this.#socket) return Promise.resolve(this.#socket);
    return (this.#opening ??= this.#connect().finally(() => (this.#opening = undefined)));
  }

  async #connect(): Promise<Socket> {
    const socket = await openStream(this.#address, this.#options.connectMilliseconds ?? CONNECT_MS);
    socket.on("error", () => (this.#broken = true));
    socket.on("close", () => {
      if (this.#socket === socket) this.#socket = undefined;
      this.#options.closed?.();
    });
    socket.on("data", (bytes: Buffer) => this.#options.received?.(bytes));
    this.#broken = false;
    this.#settle();
    for (const { bytes } of this.#sent) await this.#put(socket, bytes);
    if (socket.destroyed) throw new Error("the connection was closed");
    this.#socket = socket;
    return socket;
  }

  #put(socket: Socket, bytes: Buffer): Promise<void> {
    const limit = this.#options.writeMilliseconds ?? 0;
    return new Promise((resolve, reject) => {
      const broken = (): void => reject(new Error("the connection was closed"));
      const timer = limit > 0 ? setTimeout(() => socket.destroy(), limit) : undefined;
      socket.once("close", broken);
      socket.write(bytes, (error) => {
        clearTimeout(timer);
        socket.off("close", broken);
        if (error) reject(error);
        else resolve();
      });
    });
  }

  #keep(bytes: Buffer): void {
    this.#settle();
    this.#sent.push({ bytes, at: performance.now() });
    this.#sentBytes += bytes.length;
    while (this.#sentBytes > KEPT_BYTES && this.#sent.length > 1) this.#sentBytes -= (this.#sent.shift() as Sent).bytes.length;
  }

  #settle(): void {
    const oldest = performance.now() - SETTLED_MS;
    while (this.#sent[0] && this.#sent[0].at < oldest) this.#sentBytes -= (this.#sent.shift() as Sent).bytes.length;
  }

  #forget(): void {
    this.#sent = [];
    this.#sentBytes = 0;
  }
}

function openStream(address: StreamAddress, milliseconds: number): Promise<Socket> {
  const { path, host = "127.0.0.1", port = 0, tls } = address;
  const where = path === undefined ? { host, port } : { path };
  return new Promise((resolve, reject) => {
    const socket: Socket = tls ? process.getBuiltinModule("node:tls").connect({ ...where, servername: isAddress(host) ? "" : host, ...tls }) : connect(where);
    const timer = setTimeout(() => socket.destroy(Object.assign(new Error("i/o timeout"), { code: "ETIMEDOUT" })), milliseconds);
    const failed = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(new Error(dialFailure(address, error), { cause: error }));
    };
    socket.once("error", failed);
    socket.once(tls ? "secureConnect" : "connect", () => {
      clearTimeout(timer);
      socket.off("error", failed);
      resolve(socket);
    });
  });
}

const isAddress = (host: string): boolean => process.getBuiltinModule("node:net").isIP(host) !== 0;

const REASONS: Record<string, string> = {
  ECONNREFUSED: "connect: connection refused",
  ENOENT: "connect: no such file or directory",
  EACCES: "connect: permission denied",
  EHOSTUNREACH: "connect: no route to host",
  ENETUNREACH: "connect: network is unreachable",
  ETIMEDOUT: "i/o timeout",
  ENOTFOUND: "no such host",
  EPROTOTYPE: "connect: protocol wrong type for socket",
};

/** As Go's net.Dial says it. */
function dialFailure({ path, host = "127.0.0.1", port = 0, tls }: StreamAddress, error: Error): string {
  const { code = "" } = error as NodeJS.ErrnoException;
  const reason = REASONS[code] ?? (tls ? `tls: ${error.message}` : error.message);
  if (code === "ENOTFOUND") return `dial tcp: lookup ${host}: no such host`;
  return path === undefined ? `dial tcp ${host.includes(":") ? `[${host}]` : host}:${port}: ${reason}` : `dial unix ${path}: ${reason}`;
}
