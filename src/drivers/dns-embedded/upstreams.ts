/**
 * The servers that a sandbox's questions go to when no container has the name: one after the other, beginning with the one
 * that answered last. The next one is asked when the one before has refused or been silent for a moment; whichever answers first
 * counts.
 */
import { RCODE, answersQuery, rcodeOf } from "./message.ts";
import type { Query } from "./message.ts";

export interface Server {
  /** An address, perhaps with a zone as in fe80::1%eth0. */
  address: string;
  /** The namespace that it is asked from, as an fd; -1 is the host's. */
  netns: number;
}

export interface Exchange {
  /** One question, one answer: the server's message as it came. Rejects when the server cannot be reached. */
  (server: Server, query: Buffer, signal: AbortSignal): Promise<Buffer>;
}

/** Silence so long makes the next server be asked as well: a dead server costs a client less than a second, once. */
const PATIENCE_MS = 700;
/** Docker's; clients ask again after five seconds. */
const DEADLINE_MS = 4000;
const MAX_SERVERS = 3;

export class Upstreams {
  readonly #servers: readonly Server[];
  readonly #rotate: boolean;
  #first = 0;

  constructor(servers: readonly Server[], options: { rotate?: boolean } = {}) {
    this.#servers = servers.slice(0, MAX_SERVERS);
    this.#rotate = options.rotate ?? false;
  }

  get servers(): readonly Server[] {
    return this.#servers;
  }

  /** The answer; undefined when no server gave one. */
  async ask(query: Query, exchange: Exchange): Promise<Buffer | undefined> {
    const order = this.#order();
    if (order.length === 0) return undefined;
    const stop = new AbortController();
    const deadline = setTimeout(() => stop.abort(), DEADLINE_MS);
    try {
      return await this.#race(order, query, exchange, stop.signal);
    } finally {
      clearTimeout(deadline);
      stop.abort();
    }
  }

  #order(): number[] {
    const { length } = this.#servers;
    const order = this.#servers.map((_, index) => (this.#first + index) % length);
    if (this.#rotate && length > 0) this.#first = (this.#first + 1) % length;
    return order;
  }

  #race(order: readonly number[], query: Query, exchange: Exchange, signal: AbortSignal): Promise<Buffer | undefined> {
    const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
    let next = 0;
    let waiting = 0;
    /** What says no, in case that nobody says more. */
    let refusal: Buffer | undefined;
    let timer: NodeJS.Timeout | undefined;

    const askNext = (): void => {
      clearTimeout(timer);
      const index = order[next++];
      if (index === undefined) {
        if (waiting === 0) resolve(refusal);
        return;
      }
      waiting++;
      timer = setTimeout(askNext, PATIENCE_MS);
      exchange(this.#servers[index]!, query.raw, signal).then(
        (answer) => settle(index, answer),
        () => settle(index, undefined),
      );
    };

    const settle = (index: number, answer: Buffer | undefined): void => {
      waiting--;
      if (answer && answersQuery(answer, query) && !isRefusal(answer)) {
        if (!this.#rotate) this.#first = index;
        resolve(answer);
      } else if (!signal.aborted) {
        refusal ??= answer && answersQuery(answer, query) ? answer : undefined;
        askNext();
      }
    };

    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve(refusal);
    });
    askNext();
    return promise;
  }
}

const isRefusal = (answer: Buffer): boolean => rcodeOf(answer) === RCODE.serverFailure || rcodeOf(answer) === RCODE.refused;
