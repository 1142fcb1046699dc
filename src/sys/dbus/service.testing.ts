/** A D-Bus bus with one service behind it, for tests: everybody is let in, and all calls go to one function. */
import type { Server, Socket } from "node:net";
import { createServer } from "node:net";
import type { DbusMessage, DbusValue } from "./message.ts";
import { decodeMessage, encodeMessage, messageLength } from "./message.ts";

export interface Answer {
  signature?: string;
  body?: DbusValue[];
  /** The answer is an error of this name, with the body. */
  error?: string;
}

/** Undefined: no answer. */
export type Respond = (call: DbusMessage) => Answer | undefined;

export class TestBus implements Disposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #serial = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** `pieces`: what is sent arrives byte by byte. */
  static async listen(path: string, respond: Respond, { greeting = "OK 1234", pieces = false } = {}): Promise<TestBus> {
    const server = createServer((socket) => bus.#serve(socket, respond, { greeting, pieces }));
    const bus = new TestBus(server);
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return bus;
  }

  /** To everybody. */
  signal(signal: Pick<DbusMessage, "path" | "interface" | "member" | "signature" | "body">): void {
    for (const socket of this.#sockets) socket.write(encodeMessage({ type: "signal", serial: ++this.#serial, ...signal }));
  }

  /** Those who are connected are not any more. */
  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  [Symbol.dispose](): void {
    this.hangUp();
    this.#server.close();
  }

  #serve(socket: Socket, respond: Respond, { greeting, pieces }: { greeting: string; pieces: boolean }): void {
    let received = Buffer.alloc(0);
    let begun = false;
    const send = (bytes: Buffer): void => {
      if (!pieces) socket.write(bytes);
      else for (const byte of bytes) socket.write(Buffer.from([byte]));
    };
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      for (let end = received.indexOf("\r\n"); !begun && end >= 0; end = received.indexOf("\r\n")) {
        const line = received.toString("utf8", 0, end);
        received = received.subarray(end + 2);
        if (line === "BEGIN") begun = true;
        else if (greeting !== "") socket.write(`${greeting}\r\n`);
      }
      for (let length = begun ? messageLength(received) : undefined; length !== undefined && received.length >= length; length = messageLength(received)) {
        const call = decodeMessage(received.subarray(0, length));
        received = received.subarray(length);
        const answer = call.member === "Hello" ? { signature: "s", body: [":1.1"] } : respond(call);
        if (answer) send(this.#reply(call, answer));
      }
    });
  }

  #reply({ serial }: DbusMessage, { error, signature, body }: Answer): Buffer {
    return encodeMessage({ type: error === undefined ? "return" : "error", serial: ++this.#serial, replySerial: serial, ...(error !== undefined && { errorName: error }), ...(signature !== undefined && { signature, body: body ?? [] }) });
  }
}
