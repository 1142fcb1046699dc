/** The Call that a handler gets, of one request. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { takeOver } from "./hijack.ts";
import type { ApiVersion, Call } from "./route.ts";

export class RequestCall implements Call {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly params: Record<string, string>;
  readonly query: URLSearchParams;
  readonly version: ApiVersion;
  #aborter: AbortController | undefined;

  constructor(request: Pick<Call, "req" | "res" | "params" | "query" | "version">) {
    this.req = request.req;
    this.res = request.res;
    this.params = request.params;
    this.query = request.query;
    this.version = request.version;
  }

  get signal(): AbortSignal {
    if (this.#aborter === undefined) {
      const aborter = new AbortController();
      const gone = (): void => {
        if (!this.res.writableFinished) aborter.abort();
      };
      this.#aborter = aborter;
      if (this.res.destroyed || this.res.closed) gone();
      else this.res.once("close", gone);
    }
    return this.#aborter.signal;
  }

  readonly hijack = (contentType: string): Duplex => takeOver(this.req, this.res, contentType);
}
