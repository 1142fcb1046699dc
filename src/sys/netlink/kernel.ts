/** The network of one namespace as drivers see it. `openNetworkKernel` speaks to Linux; fake.ts keeps it in memory. */
import type { NetlinkWatch } from "./socket.ts";
import { NETLINK, errnoCode, exchange, roundTrip, watch } from "./socket.ts";
import type { RouteChange } from "./rtnetlink.ts";
import { RTNLGRP, dumpRequest, encodeRouteChange, linkRequest } from "./rtnetlink.ts";
import { decodeAddress, decodeLink, decodeRoute } from "./rtnetlink-decode.ts";
import type { Link, LinkAddress, Route } from "./rtnetlink-decode.ts";
import type { NftTransaction } from "./nftables.ts";
import { NftSession } from "./nftables-session.ts";
import type { Sysctl } from "./netns.ts";
import { readSysctls, writeSysctls } from "./netns.ts";

export interface NetworkKernel {
  /** In order, as one message; stops being certain at the first failure (see errnoCode for which). */
  apply(changes: readonly RouteChange[]): Promise<void>;
  /** undefined: there is none. */
  link(name: string): Promise<Link | undefined>;
  links(): Promise<Link[]>;
  /** Those of the names that there are. */
  presentLinks(names: readonly string[]): Promise<string[]>;
  addresses(): Promise<LinkAddress[]>;
  routes(): Promise<Route[]>;
  writeSysctls(sysctls: readonly Sysctl[]): Promise<void>;
  readSysctls(names: readonly string[]): Promise<(string | undefined)[]>;
  /** All or nothing. Always from the same socket, which owns the tables that ask for an owner. */
  nft(transaction: NftTransaction): Promise<void>;
  /** Called after somebody else removed the table or it was found missing. */
  watchTable(table: string, lost: () => void): Promise<NetlinkWatch>;
  /** Called after links came, went or changed; bursts may be one call. */
  watchLinks(changed: (link: Link | undefined, gone: boolean) => void): Promise<NetlinkWatch>;
  close(): void;
}

/** `netns` is the namespace's fd, which stays the caller's; -1 is the process's own. */
export function openNetworkKernel(netns = -1): NetworkKernel {
  const route = { protocol: NETLINK.ROUTE, netns };
  const session = new NftSession(netns);
  return {
    apply: async (changes) => {
      if (changes.length > 0) await exchange(route, changes.map(encodeRouteChange));
    },
    link: async (name) => {
      try {
        return (await exchange(route, [linkRequest({ name })])).map(decodeLink)[0];
      } catch (error) {
        if (errnoCode(error) === "ENODEV") return undefined;
        throw error;
      }
    },
    links: async () => present((await exchange(route, [dumpRequest("links")])).map(decodeLink)),
    presentLinks: async (names) => present((await roundTrip(route, names.map((name) => linkRequest({ name })))).map(decodeLink)).map(({ name }) => name),
    addresses: async () => present((await exchange(route, [dumpRequest("addresses")])).map(decodeAddress)),
    routes: async () => present((await exchange(route, [dumpRequest("routes")])).map(decodeRoute)),
    writeSysctls: (sysctls) => writeSysctls(netns, sysctls),
    readSysctls: (names) => readSysctls(netns, names),
    nft: (transaction) => session.commit(transaction),
    watchTable: (table, lost) => session.watch(table, lost),
    watchLinks: (changed) =>
      watch(route, [RTNLGRP.LINK], (messages) => {
        if (!messages) changed(undefined, false);
        for (const message of messages ?? []) changed(decodeLink(message), message.type === 17);
      }),
    close: () => session.close(),
  };
}

const present = <Value>(values: (Value | undefined)[]): Value[] => values.filter((value) => value !== undefined);
