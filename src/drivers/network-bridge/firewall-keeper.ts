/** Keeps the firewall table in the kernel: claims it, replaces it when networks change, restores it when somebody removed it. */
import { GantryError, messageOf } from "../../lib/errors.ts";
import type { FlowFilter } from "../../sys/netlink/conntrack.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import type { NftTable } from "../../sys/netlink/nftables.ts";
import { errnoCode } from "../../sys/netlink/socket.ts";
import type { NetlinkWatch } from "../../sys/netlink/socket.ts";
import { firewallTransaction, foreignDrops, removalTransaction } from "./firewall.ts";
import type { FirewallNetwork, Ownership } from "./firewall.ts";
import { answeredFlows, earlierFlows, publishedElements } from "./published.ts";
import type { Publication } from "./published.ts";

export interface FirewallKeeper {
  /** Makes the table hold exactly these networks. */
  apply(networks: readonly FirewallNetwork[]): Promise<void>;
  /** Has the endpoint's ports answer, now and whenever the table is made again. */
  publish(endpointId: string, publication: Publication): Promise<void>;
  /** For the table that apply() will make. */
  publishLater(endpointId: string, publication: Publication): void;
  /** Idempotent. */
  unpublish(endpointId: string): Promise<void>;
  remove(): Promise<void>;
  close(): void;
}

export interface FirewallKeeperOptions {
  kernel: NetworkKernel;
  table: NftTable;
  warn: (message: string) => void;
  /** false: as on kernels that have no owners (before 6.9), for tests. */
  owner?: boolean;
}

const SETTLE_MS = 5;

/** For a daemon that makes no rules (--iptables=false): those of an earlier one with other settings go. */
export function withoutFirewall(kernel: NetworkKernel, table: NftTable): FirewallKeeper {
  return {
    apply: () => kernel.nft(removalTransaction(table)),
    publish: () => Promise.reject(new GantryError("system", "ports are published by firewall rules, which --iptables=false keeps this daemon from making")),
    publishLater: () => {},
    unpublish: () => Promise.resolve(),
    remove: () => Promise.resolve(),
    close: () => {},
  };
}

export function keepFirewall({ kernel, table, warn, owner = true }: FirewallKeeperOptions): FirewallKeeper {
  let ownership: Ownership | undefined = owner ? undefined : "none";
  let networks: readonly FirewallNetwork[] = [];
  const publications = new Map<string, Publication>();
  let watching: Promise<NetlinkWatch> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let warnedOf = "";

  const commit = async (): Promise<void> => {
    if (ownership) return kernel.nft(firewallTransaction(table, networks, [...publications.values()], ownership));
    ownership = await claim();
  };

  /** An orphan of an earlier daemon is claimed; a table without an owner is taken over; without owners in the kernel it is only watched. */
  const claim = async (): Promise<Ownership> => {
    for (const attempt of ["claim", "take-over", "none"] as const) {
      try {
        await kernel.nft(firewallTransaction(table, networks, [...publications.values()], attempt));
        return attempt === "none" ? "none" : "take-over";
      } catch (error) {
        if (errnoCode(error) === "EPERM") throw new GantryError("conflict", `the firewall table ${table.family} ${table.name} belongs to another running program: is a second daemon using the same bridge?`, { cause: error });
        if (attempt === "none" || !["ENOTSUP", "EINVAL"].includes(errnoCode(error))) throw error;
      }
    }
    throw new GantryError("system", `cannot claim the firewall table ${table.name}`);
  };

  /** What is missing somebody removed: then the table is made whole. */
  const change = async (op: "addElements" | "deleteElements", publication: Publication): Promise<void> => {
    try {
      await kernel.nft({ table, changes: publishedElements(op, [publication]) });
    } catch (error) {
      if (errnoCode(error) !== "ENOENT") throw error;
      await commit();
    }
  };

  const forget = async (flows: FlowFilter[]): Promise<void> => {
    if (flows.length > 0) await kernel.forgetFlows(flows).catch((error: unknown) => warn(messageOf(error)));
  };

  /** One flush is many events: they are awaited before the table is restored, once. */
  const lost = (): void => {
    if (closed || timer) return;
    timer = setTimeout(restore, SETTLE_MS);
  };

  const restore = (): void => {
    timer = undefined;
    if (closed) return;
    commit().then(
      () => warn(`the firewall table ${table.family} ${table.name} was removed or changed by another program and has been restored`),
      (error: unknown) => warn(`cannot restore the firewall table ${table.family} ${table.name}: ${messageOf(error)}`),
    );
  };

  const warnOfDrops = async (): Promise<void> => {
    const [drop] = foreignDrops(await kernel.baseChains(), table);
    if (drop === undefined || drop === warnedOf) return;
    warnedOf = drop;
    warn(`${drop} drops forwarded packets that it does not know: containers may reach nothing, and not be reached, until it accepts what comes from and goes to ${networks.map(({ bridge }) => bridge).join(", ")}`);
  };

  return {
    apply: async (wanted) => {
      networks = wanted;
      await commit();
      watching ??= kernel.watchTable(table.name, lost);
      await watching;
      if (networks.length > 0) await warnOfDrops();
    },
    publish: async (endpointId, publication) => {
      publications.set(endpointId, publication);
      await change("addElements", publication);
      await forget(earlierFlows(publication.ports));
    },
    publishLater: (endpointId, publication) => void publications.set(endpointId, publication),
    unpublish: async (endpointId) => {
      const publication = publications.get(endpointId);
      if (!publication) return;
      publications.delete(endpointId);
      await change("deleteElements", publication);
      await forget(answeredFlows(publication));
    },
    remove: async () => {
      closed = true;
      (await watching)?.close();
      await kernel.nft(removalTransaction(table));
    },
    close: () => {
      closed = true;
      void watching?.then((watch) => watch.close());
    },
  };
}
