/** Keeps the firewall table in the kernel: claims it, replaces it when networks change, restores it when somebody removed it. */
import { isDeepStrictEqual } from "node:util";
import { GantryError, messageOf } from "../../lib/errors.ts";
import type { FlowFilter } from "../../sys/netlink/conntrack.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import type { NftChange, NftTable } from "../../sys/netlink/nftables.ts";
import { claimTable, replaceTable } from "../../sys/netlink/nftables-claim.ts";
import type { Ownership } from "../../sys/netlink/nftables-claim.ts";
import { errnoCode } from "../../sys/netlink/socket.ts";
import type { NetlinkWatch } from "../../sys/netlink/socket.ts";
import type { Detour } from "./detour.ts";
import { firewallChanges, networkElements, publishRules, removalTransaction } from "./firewall.ts";
import type { FirewallNetwork, FirewallRules, FirewallState } from "./firewall.ts";
import { OpenLinks } from "./links.ts";
import type { Link } from "./links.ts";
import { closePassage, droppingChains, openPassage } from "./passage.ts";
import type { Others } from "./passage.ts";
import { answeredFlows, withoutAddresses, earlierFlows, publicationChanges, publishedElements } from "./published.ts";
import type { Publication } from "./published.ts";

export interface FirewallKeeper {
  /** Has the table hold the network as it is now. */
  setNetwork(id: string, network: FirewallNetwork): Promise<void>;
  /** For the table that setNetwork() will make. */
  setNetworkLater(id: string, network: FirewallNetwork): void;
  /** With the last one the table goes. */
  removeNetwork(id: string): Promise<void>;
  /** Has the endpoint's ports answer and no others, now and whenever the table is made again. */
  publish(endpointId: string, publication: Publication): Promise<void>;
  /** For the table that setNetwork() will make. */
  publishLater(endpointId: string, publication: Publication): void;
  /** Idempotent. */
  unpublish(endpointId: string): Promise<void>;
  /** Other ways with other programs' firewalls, from now on. */
  setMode(mode: OthersMode): Promise<void>;
  /** Has rules for annexes, from now on. */
  setAnnexed(): Promise<void>;
  /** Whether the kernel leaves ::1 to others, from now on. */
  setRelayed6(relayed: boolean): Promise<void>;
  /** Both are idempotent. */
  openLink(link: Link): Promise<void>;
  closeLink(link: Link): Promise<void>;
  close(): void;
}

/**
 * What becomes of other programs' firewalls. "docker": containers' packets pass their forward chains. "own-table": nothing but our
 * table is touched. "honour-host": as docker, but published ports are open to whom their input chains let in.
 */
export type OthersMode = "docker" | "own-table" | "honour-host";

export interface FirewallKeeperOptions {
  kernel: NetworkKernel;
  table: NftTable;
  warn: (message: string) => void;
  /** Something of ours was made again after somebody else removed it. */
  repaired?: (what: string) => void;
  mode: OthersMode;
  detour: Detour;
  rules?: FirewallRules;
  /** What the names of annexes begin with. */
  annexes?: string;
  /** false: as on kernels that have no owners (before 6.9), for tests. */
  owner?: boolean;
}

/** One flush is many events. */
const SETTLE_MS = 5;
const OTHERS_MS = 50;

/** For a daemon that makes no rules (--iptables=false): those of an earlier one with other settings go. `relays`: a program serves published ports. */
export function withoutFirewall(kernel: NetworkKernel, table: NftTable, { relays }: { relays: boolean }): FirewallKeeper {
  const refusalOf = ({ ports }: Publication): string => {
    if (!relays) return "ports are published by firewall rules, which --iptables=false keeps this daemon from making";
    return ports.some(({ protocol }) => protocol === "sctp") ? "ports of sctp are published by firewall rules, which --iptables=false keeps this daemon from making" : "";
  };
  return {
    setNetwork: () => kernel.nft(removalTransaction(table)),
    setNetworkLater: () => {},
    removeNetwork: () => Promise.resolve(),
    publish: async (_, publication) => {
      const refusal = refusalOf(publication);
      if (refusal !== "") throw new GantryError("system", refusal);
    },
    publishLater: () => {},
    unpublish: () => Promise.resolve(),
    setMode: () => Promise.resolve(),
    setAnnexed: () => Promise.resolve(),
    setRelayed6: () => Promise.resolve(),
    openLink: () => Promise.resolve(),
    closeLink: () => Promise.resolve(),
    close: () => {},
  };
}

const PASSED_HOOKS = ["forward", "output"] as const;
const HOOKS_OF: Record<OthersMode, Others["hooks"]> = { docker: ["forward"], "own-table": [], "honour-host": PASSED_HOOKS };

/** Tables of any daemon of ours. */
const isOurs = (table: string): boolean => table.startsWith("gantry-");

export function keepFirewall({ kernel, table, warn, repaired = () => {}, rules = { ipv6: true, directRouting: false }, mode: firstMode, detour, annexes, owner = true }: FirewallKeeperOptions): FirewallKeeper {
  let ownership: Ownership | undefined = owner ? undefined : "none";
  const networks = new Map<string, FirewallNetwork>();
  const publications = new Map<string, Publication>();
  const links = new OpenLinks((changes) => change(changes));
  /** The table is there, and watched. */
  let made: Promise<NetlinkWatch> | undefined;
  let mode = firstMode;
  let warnedOf = "";
  /** What an earlier mode left in other programs' chains is gone. */
  let passed = false;
  let annexed = false;
  let relayed6 = false;
  const state = (): FirewallState => ({ relayed6, networks, publications: [...publications.values()], links: links.all(), rules, ...(mode === "honour-host" && { entrance: detour.entrance }), ...(annexed && annexes !== undefined && { annexes }) });
  const others = (): Others => ({ isOurs, hooks: HOOKS_OF[mode] });

  const commit = async (): Promise<void> => {
    if (ownership) return kernel.nft({ table, changes: [...replaceTable(ownership), ...firewallChanges(state())] });
    ownership = await claimTable(table, (transaction) => kernel.nft(transaction), () => firewallChanges(state()));
  };

  /** What is missing somebody removed: then the table is made whole. */
  const change = async (changes: NftChange[]): Promise<void> => {
    try {
      await kernel.nft({ table, changes });
    } catch (error) {
      if (!["ENOENT", "EEXIST"].includes(errnoCode(error))) throw error;
      await commit();
    }
  };

  const make = async (): Promise<NetlinkWatch> => {
    if (mode === "honour-host") await detour.open();
    // Those of an earlier daemon's containers are not without rules for a moment.
    annexed ||= annexes !== undefined && (await kernel.links()).some(({ name }) => name.startsWith(annexes));
    await commit();
    if (mode !== "honour-host") await detour.remove();
    return kernel.watchTable(table.name, { lost: restoring.request, others: minding.request });
  };

  const forget = async (flows: FlowFilter[]): Promise<void> => {
    if (flows.length > 0) await kernel.forgetFlows(flows).catch((error: unknown) => warn(messageOf(error)));
  };

  const restore = async (): Promise<void> => {
    try {
      await commit();
      warn(`the firewall table ${table.family} ${table.name} was removed or changed by another program and has been restored`);
      repaired(`firewall table ${table.name}`);
    } catch (error) {
      warn(`cannot restore the firewall table ${table.family} ${table.name}: ${messageOf(error)}`);
    }
  };

  /** What is new to say of other programs' chains. */
  const warnOnce = (text: string): void => {
    if (text !== "" && text !== warnedOf) warn(text);
    warnedOf = text;
  };

  const pass = async (): Promise<void> => {
    const { opened, failures } = await openPassage(kernel, others());
    for (const chain of opened) {
      if (passed) repaired(`passage through ${chain}`);
      else warn(`${chain} drops forwarded packets that it does not know: a rule at its head accepts those of containers`);
    }
    warnOnce(failures.length === 0 ? "" : `no way for containers' packets through ${failures.join("; ")}`);
  };

  const leaveAlone = async (): Promise<void> => {
    const drops = await droppingChains(kernel, { isOurs, hooks: ["forward"] });
    warnOnce(drops.length === 0 ? "" : `${drops.join(", ")}: forwarded packets are dropped there that it does not know: containers may reach nothing, and not be reached, until it accepts what comes from and goes to ${[...networks.values()].map(({ bridge }) => bridge).join(", ")}`);
  };

  const mindOthers = async (): Promise<void> => {
    try {
      if (!passed) await closePassage(kernel, { isOurs, hooks: PASSED_HOOKS.filter((hook) => !HOOKS_OF[mode].includes(hook)) });
      await (mode === "own-table" ? leaveAlone() : pass());
      passed = true;
    } catch (error) {
      warn(`other programs' firewalls: ${messageOf(error)}`);
    }
  };

  const restoring = afterSettling(SETTLE_MS, restore);
  const minding = afterSettling(OTHERS_MS, mindOthers);

  return {
    setNetwork: async (id, network) => {
      const before = networks.get(id);
      networks.set(id, network);
      const first = made === undefined;
      made ??= make();
      try {
        await made;
      } catch (error) {
        made = undefined;
        throw error;
      }
      if (!first && !isDeepStrictEqual(before, network)) await change([...networkElements("deleteElements", before ? [before] : []), ...networkElements("addElements", [network])]);
      await mindOthers();
    },
    setNetworkLater: (id, network) => void networks.set(id, network),
    removeNetwork: async (id) => {
      const before = networks.get(id);
      if (!before) return;
      networks.delete(id);
      if (networks.size > 0) return change(networkElements("deleteElements", [before]));
      const watch = await made;
      made = undefined;
      watch?.close();
      await kernel.nft(removalTransaction(table));
      await detour.remove();
    },
    setMode: async (next) => {
      if (next === mode) return;
      mode = next;
      passed = false;
      if (!made) return;
      if (mode === "honour-host") await detour.open();
      await commit();
      if (mode !== "honour-host") await detour.remove();
      await mindOthers();
    },
    setAnnexed: async () => {
      if (annexed) return;
      annexed = true;
      try {
        await commit();
      } catch (error) {
        annexed = false;
        throw error;
      }
    },
    setRelayed6: async (relayed) => {
      if (relayed6 === relayed) return;
      relayed6 = relayed;
      if (made) await made.then(commit);
    },
    publish: async (endpointId, publication) => {
      const before = publications.get(endpointId);
      publications.set(endpointId, publication);
      await change(publicationChanges(before, publication, publishRules(networks, rules)));
      await forget([...earlierFlows(before?.ports ?? [], publication.ports), ...(before ? answeredFlows(withoutAddresses(before, publication)) : [])]);
    },
    publishLater: (endpointId, publication) => void publications.set(endpointId, publication),
    unpublish: async (endpointId) => {
      const publication = publications.get(endpointId);
      if (!publication) return;
      publications.delete(endpointId);
      await change(publishedElements("deleteElements", [publication], publishRules(networks, rules)));
      await forget(answeredFlows(publication));
    },
    openLink: links.open,
    closeLink: links.close,
    close: () => {
      restoring.close();
      minding.close();
      detour.close();
      void made?.then((watch) => watch.close()).catch(() => undefined);
    },
  };
}

/** Runs the work once, a moment after the first of several requests. */
function afterSettling(milliseconds: number, work: () => Promise<void>): { request(): void; close(): void } {
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  return {
    request: () => {
      if (closed) return;
      timer ??= setTimeout(() => {
        timer = undefined;
        if (!closed) void work();
      }, milliseconds);
    },
    close: () => {
      closed = true;
      clearTimeout(timer);
    },
  };
}
