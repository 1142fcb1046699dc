/** Answers the questions of one sandbox: from its view, else from its upstream servers. */
import { RCODE, answerTo, readQuery } from "./message.ts";
import type { Query } from "./message.ts";
import { failure, localRecords, staysHome } from "./answer.ts";
import type { NameView, Names } from "./names.ts";
import type { Exchange, Upstreams } from "./upstreams.ts";

export interface ResolverView extends NameView {
  /** false: nothing is asked elsewhere. */
  forward: boolean;
  /** As in resolv.conf; above 0, bare names are not asked elsewhere. */
  ndots: number;
  upstreams: Upstreams;
}

export interface Transport {
  kind: "datagram" | "stream";
  exchange: Exchange;
}

/** Questions on their way to upstream servers, of one sandbox. Beyond, they fail at once: a loop of forwarders or a flood costs so much and no more. */
const MAX_FORWARDED = 256;
const MAX_STREAM_BYTES = 0xffff;

export class Resolver {
  readonly #names: Names;
  #view: ResolverView;
  /** The same question while it is on its way waits for the same answer. */
  readonly #pending = new Map<string, Promise<Buffer | undefined>>();

  constructor(names: Names, view: ResolverView) {
    this.#names = names;
    this.#view = view;
  }

  set view(view: ResolverView) {
    this.#view = view;
  }

  /** undefined: no answer. A plain value where nobody else had to be asked. */
  resolve(raw: Buffer, transport: Transport): Buffer | undefined | Promise<Buffer> {
    const query = readQuery(raw);
    if (!query || "refusal" in query) return query?.refusal;
    const maxBytes = transport.kind === "stream" ? MAX_STREAM_BYTES : query.udpBytes;
    const records = localRecords(this.#names, this.#view, query);
    if (records) return answerTo(query, RCODE.success, records, maxBytes);
    if (!this.#view.forward) return failure(query, maxBytes);
    if (staysHome(query, this.#view.ndots)) return answerTo(query, RCODE.success, [], maxBytes);
    return this.#forward(query, transport, maxBytes);
  }

  #forward(query: Query, { kind, exchange }: Transport, maxBytes: number): Buffer | Promise<Buffer> {
    const key = kind + query.raw.toString("latin1", 2);
    let answer = this.#pending.get(key);
    if (!answer) {
      if (this.#pending.size >= MAX_FORWARDED) return failure(query, maxBytes);
      // The message belongs to the socket that it came from.
      const own = { ...query, raw: Buffer.from(query.raw) };
      answer = this.#view.upstreams.ask(own, exchange).finally(() => this.#pending.delete(key));
      this.#pending.set(key, answer);
    }
    const id = query.raw.readUInt16BE(0);
    const failed = failure(query, maxBytes);
    return answer.then((bytes) => (bytes ? withId(bytes, id) : failed));
  }
}

function withId(answer: Buffer, id: number): Buffer {
  const copy = Buffer.from(answer);
  copy.writeUInt16BE(id, 0);
  return copy;
}
