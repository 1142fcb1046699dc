/** The Call that a handler gets, of one request. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { received, takeOver } from "./hijack.ts";
import type { ApiVersion, Call } from "./route.ts";
import type { Confinement } from "./scopes.ts";

export class RequestCall implements Call {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly params: Record<string, string>;
  readonly query: URLSearchParams;
  readonly version: ApiVersion;
  readonly confinement: Confinement | undefined;
  readonly received: (milliseconds?: number) => Promise<void>;
  #aborter: AbortController | undefined;

  constructor(request: Pick<Call, "req" | "res" | "params" | "query" | "version" | "confinement">, hasReceivedAll: (socket: Socket) => boolean = () => true) {
    this.req = request.req;
    this.res = request.res;
    this.params = request.params;
    this.query = request.query;
    this.version = request.version;
    this.confinement = request.confinement;
    this.received = (milliseconds) => received(this.req.socket, hasReceivedAll, milliseconds);
  }

  get signal(): AbortSignal {
    this.#aborter ??= this.#watchClient();
    return this.#aborter.signal;
  }

  /** A client that ends its side has left, unless the connection was taken over: then it only has nothing more to say. */
  #watchClient(): AbortController {
    const { req, res } = this;
    const aborter = new AbortController();
    const gone = (): void => {
      if (!res.writableFinished) aborter.abort();
    };
    const ended = (): void => {
      if (res.socket !== null) gone();
    };
    if (res.closed || req.socket.readableEnded) gone();
    req.socket.once("end", ended);
    res.once("close", () => {
      req.socket.removeListener("end", ended);
      gone();
    });
    return aborter;
  }

  readonly hijack = (contentType: string): Duplex => takeOver(this.req, this.res, contentType);
}
