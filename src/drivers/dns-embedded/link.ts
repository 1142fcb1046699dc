/** A connection to the name server's process. */
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { EgressDenial } from "../../core/name-service.ts";
import { systemError, unavailable } from "../../lib/errors.ts";
import { LineReader, line } from "./wire.ts";
import type { NumberedRequest, Reply, Request, ServerMessage } from "./wire.ts";

const net = process.getBuiltinModule("node:net");

/** How long a server of another version may take to end. */
const END_MS = 2000;

/** undefined: nobody listens at the path. */
export function dial(path: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(path);
    socket.once("connect", () => {
      socket.removeAllListeners("error");
      resolve(socket);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => (error.code === "ENOENT" || error.code === "ECONNREFUSED" ? resolve(undefined) : reject(error)));
  });
}

export interface LinkHandlers {
  notice(text: string): void;
  repaired(what: string): void;
  denial(denial: EgressDenial): void;
  /** Once, but not after close(). */
  end(): void;
}

export class ServerLink {
  readonly #socket: Socket;
  readonly #pending = new Map<number, { resolve: (reply: Reply) => void; reject: (error: unknown) => void }>();
  #serial = 0;
  #open = true;

  constructor(socket: Socket, handlers: LinkHandlers) {
    this.#socket = socket;
    const reader = new LineReader<ServerMessage>((message) => {
      if ("notice" in message) handlers.notice(message.notice);
      else if ("repaired" in message) handlers.repaired(message.repaired);
      else if ("denial" in message) handlers.denial(message.denial);
      else this.#settle(message);
    });
    socket.on("data", (data: Buffer) => reader.push(data));
    socket.on("error", () => {});
    socket.on("close", () => {
      const told = !this.#open;
      this.#end();
      if (!told) handlers.end();
    });
    // A program that waits for nothing else may end.
    socket.unref();
  }

  get open(): boolean {
    return this.#open;
  }

  async ask(request: Request): Promise<void> {
    await this.#ask(request);
  }

  async version(): Promise<string> {
    return (await this.#ask({ op: "hello" })).version ?? "";
  }

  /** The server's process has ended, or does not want to, when this resolves. */
  async endServer(): Promise<void> {
    const closed = new Promise((resolve) => this.#socket.once("close", resolve));
    this.ask({ op: "end" }).catch(() => undefined);
    await Promise.race([closed, delay(END_MS)]);
    this.close();
  }

  close(): void {
    this.#end();
    this.#socket.destroy();
  }

  async #ask(request: Request): Promise<Reply> {
    if (!this.#open) throw unavailable("it has gone away");
    const serial = ++this.#serial;
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    this.#pending.set(serial, { resolve, reject });
    const message: NumberedRequest = { serial, ...request };
    this.#socket.ref();
    this.#socket.write(line(message));
    const reply = await promise;
    if (reply.error !== undefined) throw systemError(reply.error);
    return reply;
  }

  #settle(reply: Reply): void {
    this.#pending.get(reply.serial)?.resolve(reply);
    this.#pending.delete(reply.serial);
    if (this.#pending.size === 0) this.#socket.unref();
  }

  #end(): void {
    this.#open = false;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(unavailable("it has gone away"));
  }
}
