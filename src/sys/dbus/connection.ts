/** A client's connection to a D-Bus bus, or to a service directly: calls with their answers, and signals. */
import type { Socket } from "node:net";
import { GantryError, messageOf, systemError } from "../../lib/errors.ts";
import type { DbusMessage, DbusValue } from "./message.ts";
import { decodeMessage, encodeMessage, messageLength } from "./message.ts";

const net = process.getBuiltinModule("node:net");

export interface DbusCall {
  destination: string;
  path: string;
  interface: string;
  member: string;
  /** Of the arguments. */
  signature?: string;
  body?: DbusValue[];
}

/** What the other side answered with. */
export class DbusError extends GantryError {
  /** "org.freedesktop.systemd1.NoSuchUnit" */
  readonly dbusName: string;

  constructor(name: string, message: string) {
    super("system", message === "" ? name : message);
    this.dbusName = name;
  }
}

export const bus = { destination: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" } as const;

interface Waiting {
  resolve: (body: DbusValue[]) => void;
  reject: (error: Error) => void;
}

export class DbusConnection implements Disposable {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners = new Set<(message: DbusMessage) => void>();
  readonly #timeoutMs: number;
  #serial = 0;
  #name = "";
  #received: Buffer = Buffer.alloc(0);
  #greeting: Waiting | undefined;
  #failure: Error | undefined;
  readonly #lost = Promise.withResolvers<never>();

  private constructor(socket: Socket, timeoutMs: number) {
    this.#socket = socket;
    this.#timeoutMs = timeoutMs;
    // Reported where it is awaited.
    this.#lost.promise.catch(() => undefined);
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.#fail(systemError(`D-Bus: ${error.message}`, error)));
    socket.on("close", () => this.#fail(systemError("D-Bus: the connection was closed")));
  }

  /** `path` of a unix socket, "\0..." for an abstract one. `direct`: a service is at the other end, no bus. Each answer may take `timeoutMs`. */
  static async open(path: string, { direct = false, timeoutMs = 30_000 } = {}): Promise<DbusConnection> {
    const connection = new DbusConnection(net.connect(path), timeoutMs);
    try {
      await connection.#authenticate();
      if (!direct) [connection.#name] = (await connection.call({ ...bus, member: "Hello" })) as [string];
      return connection;
    } catch (error) {
      connection[Symbol.dispose]();
      throw error;
    }
  }

  async call({ signature, body, ...target }: DbusCall): Promise<DbusValue[]> {
    if (this.#failure) throw this.#failure;
    const serial = ++this.#serial;
    this.#socket.write(encodeMessage({ type: "call", serial, ...target, ...(signature !== undefined && { signature, body: body ?? [] }) }));
    try {
      return await this.#answer(`to ${target.member}`, (waiting) => this.#waiting.set(serial, waiting));
    } finally {
      this.#waiting.delete(serial);
    }
  }

  /** What we are called on the bus: ":1.42". */
  get name(): string {
    return this.#name;
  }

  /** Rejects when the connection is no more. */
  get lost(): Promise<never> {
    return this.#lost.promise;
  }

  /** Until what it gives is called. */
  listen(listener: (message: DbusMessage) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  [Symbol.dispose](): void {
    this.#fail(systemError("D-Bus: the connection was closed"));
    this.#socket.destroy();
  }

  /** EXTERNAL: the socket says who we are. */
  async #authenticate(): Promise<void> {
    this.#socket.write(`\0AUTH EXTERNAL ${Buffer.from(String(process.geteuid!())).toString("hex")}\r\n`);
    await this.#answer("to AUTH", (waiting) => (this.#greeting = waiting));
    this.#socket.write("BEGIN\r\n");
  }

  async #answer(what: string, ask: (waiting: Waiting) => void): Promise<DbusValue[]> {
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<DbusValue[]>((resolve, reject) => {
        timer = setTimeout(() => reject(systemError(`D-Bus: no answer ${what} in ${this.#timeoutMs / 1000} seconds`)), this.#timeoutMs);
        ask({ resolve, reject });
        if (this.#failure) reject(this.#failure);
      });
    } finally {
      clearTimeout(timer);
    }
  }

  #receive(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    try {
      if (this.#greeting) this.#readGreeting(this.#greeting);
      else this.#readMessages();
    } catch (error) {
      this.#fail(systemError(messageOf(error), error));
      this.#socket.destroy();
    }
  }

  #readGreeting({ resolve, reject }: Waiting): void {
    const end = this.#received.indexOf("\r\n");
    if (end < 0) return;
    const line = this.#received.toString("utf8", 0, end);
    this.#received = this.#received.subarray(end + 2);
    this.#greeting = undefined;
    if (line.startsWith("OK ")) resolve([]);
    else reject(systemError(`D-Bus: not let in: ${line}`));
  }

  #readMessages(): void {
    for (;;) {
      const length = messageLength(this.#received);
      if (length === undefined || this.#received.length < length) return;
      const message = decodeMessage(this.#received.subarray(0, length));
      this.#received = this.#received.subarray(length);
      this.#take(message);
    }
  }

  #take(message: DbusMessage): void {
    if (message.type === "signal") for (const listener of this.#listeners) listener(message);
    const waiting = this.#waiting.get(message.replySerial ?? 0);
    if (message.type === "return") waiting?.resolve(message.body ?? []);
    else if (message.type === "error") waiting?.reject(new DbusError(message.errorName ?? "", String(message.body?.[0] ?? "")));
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#lost.reject(this.#failure);
    this.#greeting?.reject(this.#failure);
    this.#greeting = undefined;
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
  }
}
