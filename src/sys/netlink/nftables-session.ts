/** The socket that nftables transactions go through: one for the daemon's life, because the kernel ties a table's owner to it. */
import { closeSync } from "node:fs";
import { attributeText, parseAttributes } from "./message.ts";
import type { NetlinkMessage } from "./message.ts";
import { NFNLGRP_NFTABLES, NFT_MSG, SUBSYSTEM_NFTABLES, encodeTransaction } from "./nftables.ts";
import type { NftTransaction } from "./nftables.ts";
import { notFrom } from "./packet-filter.ts";
import { NETLINK, answersTo, openNetlinkSocket, roundTrip, watch } from "./socket.ts";
import type { NetlinkWatch } from "./socket.ts";

const typesOf = (...messages: number[]): number[] => messages.map((type) => (SUBSYSTEM_NFTABLES << 8) | type);
/** Losing one of these loses rules. What expires by itself is not told. */
const LOSSES = typesOf(NFT_MSG.DELTABLE, NFT_MSG.DELCHAIN, NFT_MSG.DELRULE, NFT_MSG.DELSET, NFT_MSG.DELSETELEM);
const RULES = typesOf(NFT_MSG.NEWCHAIN, NFT_MSG.DELCHAIN, NFT_MSG.NEWRULE, NFT_MSG.DELRULE, NFT_MSG.DELTABLE);

/** Called when somebody else did it, or it cannot be ruled out. */
export interface TableChanges {
  /** The table is gone, or a part of it. */
  lost(): void;
  /** Chains or rules of other tables have changed. */
  others?(): void;
}

export class NftSession {
  readonly #netns: number;
  #socket: Promise<number> | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;
  /** The socket's netlink port, by which events that it caused are known. */
  #port = 0;

  constructor(netns: number) {
    this.#netns = netns;
  }

  /** One after the other, in the order of the calls. */
  commit(transaction: NftTransaction): Promise<void> {
    const result = this.#last.then(() => this.#send(transaction));
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #send(transaction: NftTransaction): Promise<void> {
    this.#socket ??= openNetlinkSocket(NETLINK.NETFILTER, this.#netns);
    const requests = encodeTransaction(transaction);
    const messages = await roundTrip({ protocol: NETLINK.NETFILTER, netns: -1, socket: await this.#socket }, requests);
    this.#port = messages[0]?.port ?? this.#port;
    answersTo(requests, messages);
  }

  /** Of its own events those come that are older than its first transaction's answer. */
  watch(table: string, changes: TableChanges): Promise<NetlinkWatch> {
    return watch({ protocol: NETLINK.NETFILTER, netns: this.#netns }, [NFNLGRP_NFTABLES], (messages) => {
      const foreign = messages?.filter(({ port }) => port !== this.#port);
      if (!foreign || foreign.some((message) => LOSSES.includes(message.type) && tableOf(message) === table)) changes.lost();
      if (!foreign || foreign.some((message) => RULES.includes(message.type) && tableOf(message) !== table)) changes.others?.();
    }, this.#port === 0 ? undefined : notFrom(this.#port));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    void this.#last.then(async () => {
      if (this.#socket) closeSync(await this.#socket);
    });
  }
}

const tableOf = (message: NetlinkMessage): string => attributeText(parseAttributes(message.payload, 4).get(1));
