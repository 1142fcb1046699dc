/** Docker's progress streams: JSON messages, each ended by CR LF. The status is sent with the first of them. */
import { messageOf } from "../../lib/errors.ts";
import type { Call } from "../route.ts";

export class ProgressStream {
  readonly #call: Call;
  #started = false;

  constructor(call: Call) {
    this.#call = call;
  }

  /** Headers are on their way: an error must now be a message. */
  get started(): boolean {
    return this.#started;
  }

  write(message: object): void {
    const { res } = this.#call;
    if (!this.#started) res.writeHead(200, { "content-type": "application/json" });
    this.#started = true;
    res.write(`${JSON.stringify(message)}\r\n`);
  }

  fail(error: unknown): void {
    this.write({ errorDetail: { message: messageOf(error) }, error: messageOf(error) });
  }

  end(): void {
    if (!this.#started) this.#call.res.writeHead(200, { "content-type": "application/json" });
    this.#call.res.end();
  }
}
