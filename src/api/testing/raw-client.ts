/** A client that sends what it is told, byte by byte: for tests of what well-behaved clients never do. */
import { connect, type NetConnectOpts, type Socket } from "node:net";
import { until } from "../../lib/eventually.testing.ts";

export class RawClient {
  readonly socket: Socket;
  #received: Buffer[] = [];
  #ended = false;
  #failure: Error | undefined;

  constructor(address: NetConnectOpts | Socket) {
    this.socket = "write" in address ? address : connect({ ...address, allowHalfOpen: true });
    this.socket.on("data", (chunk) => this.#received.push(chunk as Buffer));
    this.socket.on("end", () => (this.#ended = true));
    this.socket.on("error", (error) => (this.#failure = error));
    this.socket.on("close", () => (this.#ended = true));
  }

  get text(): string {
    return Buffer.concat(this.#received).toString("utf8");
  }
  get ended(): boolean {
    return this.#ended;
  }
  get failure(): Error | undefined {
    return this.#failure;
  }

  send(text: string | Buffer): this {
    this.socket.write(text);
    return this;
  }

  /** Resolves with all text so far when it holds `wanted`. */
  async until(wanted: string | RegExp): Promise<string> {
    await until(() => `${String(wanted)} in ${JSON.stringify(this.text)}`, () => (typeof wanted === "string" ? this.text.includes(wanted) : wanted.test(this.text)));
    return this.text;
  }

  /** Resolves with all text when the other side has ended. */
  async untilEnd(): Promise<string> {
    await until(() => `an end after ${JSON.stringify(this.text.slice(0, 500))}`, () => this.#ended);
    return this.text;
  }
}
