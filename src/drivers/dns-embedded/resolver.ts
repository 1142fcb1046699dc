/** Answers the questions of one sandbox: from its view, else from its upstream servers. */
import type { Gate } from "./egress.ts";
import { RCODE, TYPE, addressesIn, answerTo, readQuery } from "./message.ts";
import type { Query, ResourceRecord } from "./message.ts";
import { failure, localRecords, staysHome } from "./answer.ts";
import type { NameView, Names } from "./names.ts";
import type { Exchange, Upstreams } from "./upstreams.ts";

export interface ResolverView extends NameView {
  /** false: nothing is asked elsewhere. */
  forward: boolean;
  /** As in resolv.conf; above 0, bare names are not asked elsewhere. */
  ndots: number;
  upstreams: Upstreams;
  /** Of a sandbox that may reach some targets only: there are no other names. */
  gate?: Gate;
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
    const { gate, forward, ndots } = this.#view;
    const backwards = records && query.type === TYPE.PTR;
    if (gate && !backwards && !gate.admits(query.name)) {
      gate.refused(query.name);
      // Programs ask again, and wait, when they are refused.
      return answerTo(query, RCODE.noSuchName, [], maxBytes);
    }
    if (records) {
      const answer = answerTo(query, RCODE.success, records, maxBytes);
      return gate && !backwards ? admitted(query, gate, { answer, maxBytes, addresses: records }) : answer;
    }
    if (!forward) return failure(query, maxBytes);
    if (staysHome(query, ndots)) return answerTo(query, RCODE.success, [], maxBytes);
    const answer = this.#forward(query, transport, maxBytes);
    return gate && answer instanceof Promise ? answer.then((bytes) => admitted(query, gate, { answer: bytes, maxBytes, addresses: addressesIn(bytes, query.name) })) : answer;
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

/** Before the client knows the addresses they are open. */
async function admitted(query: Query, gate: Gate, { answer, maxBytes, addresses }: { answer: Buffer; maxBytes: number; addresses: readonly ResourceRecord[] }): Promise<Buffer> {
  try {
    const ttl = Math.min(...addresses.map((record) => record.ttl));
    if (addresses.length > 0) await gate.learn(query.name, addresses.map(({ data }) => data), ttl);
    return answer;
  } catch {
    return failure(query, maxBytes);
  }
}
