/** The socket that nftables transactions go through: one for the daemon's life, because the kernel ties a table's owner to it. */
import { closeSync } from "node:fs";
import { attributeText, parseAttributes } from "./message.ts";
import type { NetlinkMessage } from "./message.ts";
import { NFNLGRP_NFTABLES, NFT_MSG, SUBSYSTEM_NFTABLES, encodeTransaction } from "./nftables.ts";
import type { NftTransaction } from "./nftables.ts";
import { NETLINK, answersTo, openNetlinkSocket, roundTrip, watch } from "./socket.ts";
import type { NetlinkWatch } from "./socket.ts";

/** Losing one of these loses rules. Elements are not among them: an egress set's elements expire by themselves. */
const LOSSES = [NFT_MSG.DELTABLE, NFT_MSG.DELCHAIN, NFT_MSG.DELRULE, NFT_MSG.DELSET].map((type) => (SUBSYSTEM_NFTABLES << 8) | type);

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

  /** `lost` is called when somebody else removed the table, or a part of it that is no element. */
  watch(table: string, lost: () => void): Promise<NetlinkWatch> {
    return watch({ protocol: NETLINK.NETFILTER, netns: this.#netns }, [NFNLGRP_NFTABLES], (messages) => {
      if (!messages || messages.some((message) => message.port !== this.#port && isLoss(message, table))) lost();
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    void this.#last.then(async () => {
      if (this.#socket) closeSync(await this.#socket);
    });
  }
}

function isLoss(message: NetlinkMessage, table: string): boolean {
  return LOSSES.includes(message.type) && attributeText(parseAttributes(message.payload, 4).get(1)) === table;
}
