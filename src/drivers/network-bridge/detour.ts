/**
 * Has the host's own firewall decide about packets for published ports. A packet that is redirected to a container is forwarded,
 * and never meets the rules for packets to the host. So the first packet of a connection is not redirected when it comes in: it
 * goes the way of packets to this host, through every input chain, and whoever refuses it has refused it. What is left behind
 * the last of them is sent through a pair of interfaces, where it comes in once more, and there it is redirected. The
 * connection then is known, with the client's own address, and its other packets take the direct way.
 *
 *   client ─▶ prerouting ─▶ input chains of others ─▶ asked: marked ─▶ detour: a copy out of `out`, itself dropped
 *                                                                             │
 *            container ◀─ forward ◀─ redirected ◀─ prerouting ◀─ in at `in` ◀─┘
 *
 * The copy passes output chains; its mark has it pass those that the passage is open in.
 */
import { ipToBytes, parseIp, parsePrefix } from "../../lib/ip.ts";
import type { IpFamily } from "../../lib/ip.ts";
import { messageOf, systemError } from "../../lib/errors.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import type { NftChange, NftTable } from "../../sys/netlink/nftables.ts";
import { hostWord } from "../../sys/netlink/nftables-expression.ts";
import type { NftExpression } from "../../sys/netlink/nftables-expression.ts";
import { claimTable, replaceTable } from "../../sys/netlink/nftables-claim.ts";
import type { Ownership } from "../../sys/netlink/nftables-claim.ts";
import type { RouteChange } from "../../sys/netlink/rtnetlink.ts";
import { errnoCode } from "../../sys/netlink/socket.ts";
import type { NetlinkWatch } from "../../sys/netlink/socket.ts";
import type { Sysctl } from "../../sys/netlink/steps.ts";
import { FAMILIES } from "./firewall-family.ts";
import { isMarked } from "./passage.ts";
import { createRepairs } from "./repairs.ts";

export interface Detour {
  /** Where packets come in again. */
  readonly entrance: string;
  /** Idempotent. */
  open(): Promise<void>;
  /** Idempotent; also takes away what an earlier daemon opened. */
  remove(): Promise<void>;
  /** It stays open. */
  close(): void;
}

export interface DetourOptions {
  kernel: NetworkKernel;
  tag: string;
  /** Of the driver's own table. */
  table: string;
  warn: (message: string) => void;
  repaired: (what: string) => void;
  /** false: as on kernels that have no owners of tables. */
  owner: boolean;
}

/** Behind the input chains of others, whatever their priority, and behind `asked` (firewall.ts). */
export const ASKED_PRIORITY = 1000;
const PRIORITY = ASKED_PRIORITY + 1;
/** The largest that a pair of interfaces has: a copy is never too big. */
const MTU = 65_535;
/** Next hops that nobody else has: of the dummy addresses of RFC 7600's range, and of the link itself. */
const NEXT_HOP = { 4: parseIp("192.0.0.9")!, 6: parseIp("fe80::1")! } as const;
const NO_IPV6 = ["EACCES", "EOPNOTSUPP", "ENOTSUP", "EAFNOSUPPORT", "EINVAL", "ENODEV", "EPERM"];
/** An interface without addresses believes no packet's source. */
const OWN = { 4: parsePrefix("192.0.0.10/32")!, 6: parsePrefix("fe80::2/64")! } as const;

export function createDetour({ kernel, tag, table, warn, repaired, owner }: DetourOptions): Detour {
  const out = `gty-${tag}-out`;
  const entrance = `gty-${tag}-in`;
  const tables = FAMILIES.map((family): NftTable => ({ family: family === 4 ? "ip" : "ip6", name: `${table}-detour` }));
  const ownerships = new Map<NftTable, Ownership>();
  let watches: Promise<NetlinkWatch[]> | undefined;

  /** As an earlier daemon left them, so that nothing is interrupted, or anew. The index of the one that copies leave by. */
  const ensureInterfaces = async (): Promise<number> => {
    if ((await kernel.presentLinks([out, entrance])).length < 2) await makeInterfaces();
    await kernel.writeSysctls(settings(out, entrance));
    await kernel.apply([out, entrance].map((name): RouteChange => ({ op: "setLink", link: { name }, up: true })));
    const [from, to] = [await kernel.link(out), await kernel.link(entrance)];
    if (!from || !to) throw systemError(`the interfaces ${out} and ${entrance} vanished while they were made`);
    await ensure({ op: "addAddress", index: to.index, address: OWN[4] });
    await ensure({ op: "addRoute", index: from.index, destination: { address: NEXT_HOP[4], length: 32 }, metric: from.index, replace: true });
    await ensure({ op: "addNeighbour", index: from.index, address: NEXT_HOP[4], mac: to.mac });
    // A host without IPv6 has no packets of it.
    await ensure({ op: "addAddress", index: from.index, address: OWN[6] }, NO_IPV6);
    await ensure({ op: "addNeighbour", index: from.index, address: NEXT_HOP[6], mac: to.mac }, NO_IPV6);
    return from.index;
  };

  const makeInterfaces = async (): Promise<void> => {
    for (const name of [out, entrance]) await deleteLink(kernel, name);
    await kernel.apply([
      { op: "addVeth", name: out, mtu: MTU, peer: { netns: kernel.netns, name: entrance } },
      ...[out, entrance].map((name): RouteChange => ({ op: "setLink", link: { name }, noLinkLocal: true })),
    ]);
  };

  const ensure = async (change: RouteChange, allowed: readonly string[] = []): Promise<void> => {
    try {
      await kernel.apply([change]);
    } catch (error) {
      if (![...allowed, "EEXIST"].includes(errnoCode(error))) throw error;
    }
  };

  const commit = async (one: NftTable, index: number): Promise<void> => {
    const changes = detourChanges(one.family === "ip" ? 4 : 6, index, entrance);
    const ownership = owner ? ownerships.get(one) : "none";
    if (ownership) return kernel.nft({ table: one, changes: [...replaceTable(ownership), ...changes] });
    ownerships.set(one, await claimTable(one, (transaction) => kernel.nft(transaction), () => changes));
  };

  const make = async (): Promise<void> => {
    const index = await ensureInterfaces();
    for (const one of tables) await commit(one, index);
  };

  const repairs = createRepairs(async () => {
    if (!watches) return;
    await make();
    warn(`the way of packets for published ports through this host's firewall was removed or changed by another program and has been restored`);
    repaired(`detour ${entrance}`);
  }, warn);

  const watchOver = (): Promise<NetlinkWatch[]> =>
    Promise.all([
      kernel.watchTable(tables[0]!.name, { lost: () => repairs.request() }),
      kernel.watchLinks((gone) => {
        if (!gone || gone.includes(out) || gone.includes(entrance)) void lookAgain();
      }),
    ]);

  /** Our own making tells of a link that goes, too. */
  const lookAgain = async (): Promise<void> => {
    if ((await kernel.presentLinks([out, entrance]).catch(() => [])).length < 2) repairs.request();
  };

  return {
    entrance,
    open: async () => {
      if (watches) return;
      await make();
      watches = watchOver();
      await watches;
    },
    remove: async () => {
      const open = watches;
      watches = undefined;
      for (const watch of (await open) ?? []) watch.close();
      // The interfaces go last: without them there are no tables.
      if (!open && (await kernel.presentLinks([out, entrance])).length === 0) return;
      for (const one of tables) await kernel.nft({ table: one, changes: [{ op: "addTable" }, { op: "deleteTable" }] }).catch((error: unknown) => warn(messageOf(error)));
      for (const name of [out, entrance]) await deleteLink(kernel, name);
    },
    close: () => {
      repairs.close();
      void watches?.then((open) => open.forEach((watch) => watch.close()), () => undefined);
      watches = undefined;
    },
  };
}

/** Packets of everybody are forwarded from there, whichever way their senders are reached; nobody tells the host anything there. */
const settings = (out: string, entrance: string): Sysctl[] => [
  { name: `net/ipv4/conf/${entrance}/rp_filter`, value: "2" },
  { name: `net/ipv4/conf/${entrance}/forwarding`, value: "1" },
  ...[out, entrance].flatMap((name): Sysctl[] => [
    { name: `net/ipv6/conf/${name}/accept_ra`, value: "0", optional: true },
    { name: `net/ipv6/conf/${name}/disable_ipv6`, value: "0", optional: true },
  ]),
];

function detourChanges(family: IpFamily, out: number, entrance: string): NftChange[] {
  const expressions: NftExpression[] = [
    { expr: "meta", key: "iifname", register: 1 },
    { expr: "compare", register: 1, equal: false, value: Buffer.concat([Buffer.from(entrance)], 16) },
    ...isMarked(),
    { expr: "value", register: 1, value: ipToBytes(NEXT_HOP[family]) },
    { expr: "value", register: 2, value: hostWord(out) },
    { expr: "copy", address: 1, device: 2 },
    { expr: "verdict", verdict: "drop" },
  ];
  return [
    { op: "addChain", chain: { name: "detour", base: { type: "filter", hook: "input", priority: PRIORITY, policy: "accept" } } },
    { op: "addRule", chain: "detour", expressions, comment: "what this host's firewall lets in comes in once more" },
  ];
}

async function deleteLink(kernel: NetworkKernel, name: string): Promise<void> {
  try {
    await kernel.apply([{ op: "deleteLink", link: { name } }]);
  } catch (error) {
    if (errnoCode(error) !== "ENODEV") throw error;
  }
}
