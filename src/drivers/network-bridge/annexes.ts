/**
 * Further bridges of networks with more endpoints than the kernel gives a bridge ports. Each is joined to the network's own bridge by
 * a veth pair, so that there are two bridges more between any two containers at most, and one more to the host.
 *
 *   own bridge  ◀── link ═══ uplink ──▶ annex      made when an endpoint finds no room, removed with its last one
 *
 * An annex has no address, and nothing of the host answers there. Names are told from the network's id, so that the next daemon
 * finds them. Of the own bridge some ports are kept free for links.
 */
import { hash } from "node:crypto";
import type { EndpointReference } from "../../core/network.ts";
import { systemError } from "../../lib/errors.ts";
import { KeyedQueue } from "../../lib/keyed-queue.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import type { Link } from "../../sys/netlink/rtnetlink-decode.ts";
import { ensureAnnex, isWhole, removeAnnex } from "./annex-link.ts";
import type { Annex, AnnexNames } from "./annex-link.ts";
import type { BridgePort } from "./interfaces.ts";

/** Ports of a bridge, and how many of a network's own one are kept for links. */
export interface PortLimits {
  most: number;
  kept: number;
}

/** BR_MAX_PORTS, whose first number nobody gets. */
export const PORT_LIMITS: PortLimits = { most: 1023, kept: 32 };

/** The network's own bridge. */
const OWN = 0;
const NUMBER_DIGITS = 2;

interface Place {
  networkId: string;
  number: number;
}

export interface AnnexesOptions {
  kernel: NetworkKernel;
  tag: string;
  alias: string;
  limits: PortLimits;
  /** Of the network's own bridge; undefined: there is no such network any more. */
  ownPort: (networkId: string) => BridgePort | undefined;
  /** Before there is an annex with that link, and when it is gone. */
  opening: (networkId: string, link: string) => Promise<void>;
  closed: (link: string) => Promise<void>;
  /** Removes a bridge, by its index. */
  remove: (index: number) => Promise<void>;
}

export interface Annexes {
  /** Takes a port for the endpoint, of an annex made now if there is no other; undefined: no bridge has one. */
  take(endpoint: EndpointReference): Promise<BridgePort | undefined>;
  /** The port that it has taken was another program's: takes one of another bridge. */
  takeOther(endpoint: EndpointReference): Promise<BridgePort | undefined>;
  /** The endpoint's end on the host is a port of its bridge now; this is its hardware address, if that is known. An annex never looks for it elsewhere. */
  settle(endpoint: EndpointReference, hostName: string, mac: Uint8Array | undefined): Promise<void>;
  /** Gives it back; an annex that is empty then goes. Idempotent. */
  release(endpointId: string): Promise<void>;
  /** undefined: there is no such network any more. */
  portOf(endpoint: EndpointReference): BridgePort | undefined;
  /** Finds those of an earlier life of the daemon, and mends them. */
  adopt(networkId: string): Promise<void>;
  /** Takes up the endpoints of an earlier life of the daemon, with the bridge that each belongs to. Empty annexes go. */
  recover(endpoints: readonly { endpoint: EndpointReference; master: number }[]): Promise<void>;
  areIntact(networkId: string, links: ReadonlyMap<string, Link>): boolean;
  /** Makes what is missing of them. */
  mend(networkId: string): Promise<void>;
  removeAll(networkId: string): Promise<void>;
  /** Whether the interface is an annex, or a part of one. */
  hasName(name: string): boolean;
  /** Names of the network's annexes. */
  bridgesOf(networkId: string): string[];
  /** The same for networks that there will be, too. */
  expects(name: string, networkIds: Iterable<string>): boolean;
  /** Of interfaces that are annexes, or parts of them, of any network of this daemon. */
  isNamedSo(name: string): boolean;
}

export function createAnnexes({ kernel, tag, alias, limits, ownPort, opening, closed, remove }: AnnexesOptions): Annexes {
  const prefixes = annexPrefixes(tag);
  const made = new Map<string, Map<number, Annex>>();
  const places = new Map<string, Place>();
  /** Bridges whose last ports other programs have. */
  const crowded = new Map<string, Set<number>>();
  const changing = new KeyedQueue();
  const madeOf = (networkId: string): Map<number, Annex> => made.get(networkId) ?? new Map<number, Annex>();

  const stem = (networkId: string): string => hash("sha256", networkId).slice(0, 6);
  const namesOf = (networkId: string, number: number): AnnexNames => {
    const rest = stem(networkId) + number.toString(36).padStart(NUMBER_DIGITS, "0");
    return { bridge: prefixes.bridge + rest, link: prefixes.link + rest, uplink: prefixes.uplink + rest };
  };
  const annexNumbers = Array.from({ length: limits.kept }, (_, count) => count + 1);

  const used = (networkId: string, number: number): number => {
    let count = 0;
    for (const place of places.values()) if (place.networkId === networkId && place.number === number) count++;
    return count;
  };
  const room = (number: number): number => (number === OWN ? limits.most - limits.kept : limits.most - 1);

  /** The first bridge that has a free port, else the first annex that there is not yet. */
  const freeNumber = (networkId: string): number | undefined => {
    const candidates = [OWN, ...annexNumbers].filter((number) => crowded.get(networkId)?.has(number) !== true);
    const isOpen = (number: number): boolean => number === OWN || madeOf(networkId).has(number) || used(networkId, number) > 0;
    return candidates.find((number) => isOpen(number) && used(networkId, number) < room(number)) ?? candidates.find((number) => !isOpen(number));
  };

  const portAt = (networkId: string, number: number): BridgePort | undefined => {
    const own = ownPort(networkId);
    if (number === OWN || !own) return own;
    const annex = madeOf(networkId).get(number);
    return annex && { ...own, bridgeIndex: annex.index };
  };

  /** Makes it, or mends it. Nothing is left of one that cannot be made. */
  const ensure = async (networkId: string, number: number): Promise<void> => {
    const own = ownPort(networkId);
    if (!own) throw systemError(`the network ${networkId} is being removed`);
    const names = namesOf(networkId, number);
    try {
      await opening(networkId, names.link);
      const annex = await ensureAnnex(kernel, names, { own, alias });
      made.set(networkId, madeOf(networkId).set(number, annex));
    } catch (error) {
      if (!madeOf(networkId).has(number)) await dismantle(networkId, number);
      throw error;
    }
  };

  const dismantle = async (networkId: string, number: number): Promise<void> => {
    const names = namesOf(networkId, number);
    madeOf(networkId).delete(number);
    await removeAnnex(kernel, names, { alias, remove });
    await closed(names.link);
  };

  const take = async ({ networkId, endpointId }: EndpointReference): Promise<BridgePort | undefined> => {
    const number = freeNumber(networkId);
    if (number === undefined) return undefined;
    const place = { networkId, number };
    places.set(endpointId, place);
    try {
      if (number !== OWN) await changing.run(networkId, async () => madeOf(networkId).has(number) || (await ensure(networkId, number)));
      return portAt(networkId, number);
    } catch (error) {
      if (places.get(endpointId) === place) places.delete(endpointId);
      throw error;
    }
  };

  /** Whoever waits for a port of it has its place already. */
  const removeEmpty = (networkId: string, number: number): Promise<void> =>
    changing.run(networkId, async () => {
      if (madeOf(networkId).has(number) && used(networkId, number) === 0) await dismantle(networkId, number);
    });

  const annexed = ({ networkId, endpointId }: EndpointReference): number | undefined => {
    const place = places.get(endpointId);
    return place?.networkId === networkId && place.number !== OWN ? place.number : undefined;
  };

  return {
    take,
    takeOther: async (endpoint) => {
      const place = places.get(endpoint.endpointId);
      if (!place) return undefined;
      crowded.set(place.networkId, (crowded.get(place.networkId) ?? new Set<number>()).add(place.number));
      places.delete(endpoint.endpointId);
      return take(endpoint);
    },
    settle: async (endpoint, hostName, mac) => {
      if (!mac || annexed(endpoint) === undefined) return;
      const link = await kernel.link(hostName);
      if (link) await kernel.apply([{ op: "addForwarding", port: link.index, mac }]);
    },
    release: async (endpointId) => {
      const place = places.get(endpointId);
      if (!place) return;
      places.delete(endpointId);
      crowded.delete(place.networkId);
      await removeEmpty(place.networkId, place.number);
    },
    portOf: (endpoint) => portAt(endpoint.networkId, annexed(endpoint) ?? OWN),
    adopt: async (networkId) => {
      const namesByNumber = annexNumbers.map((number) => [number, namesOf(networkId, number)] as const);
      const present = new Set(await kernel.presentLinks(namesByNumber.flatMap(([, { bridge, link }]) => [bridge, link])));
      for (const [number, { bridge, link }] of namesByNumber) if (present.has(bridge) || present.has(link)) await changing.run(networkId, () => ensure(networkId, number));
    },
    recover: async (endpoints) => {
      const homeless: EndpointReference[] = [];
      for (const { endpoint, master } of endpoints) {
        const { networkId, endpointId } = endpoint;
        const number = master === ownPort(networkId)?.bridgeIndex ? OWN : [...madeOf(networkId)].find(([, { index }]) => index === master)?.[0];
        if (number === undefined) homeless.push(endpoint);
        else places.set(endpointId, { networkId, number });
      }
      for (const endpoint of homeless) if (ownPort(endpoint.networkId)) await take(endpoint);
      for (const [networkId, annexes] of made) for (const number of [...annexes.keys()]) await removeEmpty(networkId, number);
    },
    areIntact: (networkId, links) => {
      const own = ownPort(networkId);
      return !own || [...madeOf(networkId).values()].every((annex) => isWhole(annex, own, links));
    },
    mend: (networkId) =>
      changing.run(networkId, async () => {
        for (const number of madeOf(networkId).keys()) await ensure(networkId, number);
      }),
    removeAll: (networkId) =>
      changing.run(networkId, async () => {
        for (const number of [...madeOf(networkId).keys()]) await dismantle(networkId, number);
        made.delete(networkId);
        crowded.delete(networkId);
      }),
    bridgesOf: (networkId) => [...madeOf(networkId).values()].map(({ names }) => names.bridge).sort(),
    hasName: (name) => [...made.values()].some((annexes) => [...annexes.values()].some(({ names }) => Object.values(names).includes(name))),
    expects: (name, networkIds) => [...networkIds].some((id) => Object.values(prefixes).some((prefix) => name.startsWith(prefix + stem(id)))),
    isNamedSo: (name) => Object.values(prefixes).some((prefix) => name.startsWith(prefix)),
  };
}

/** What the names of a daemon's annexes begin with, and of their links' two ends. */
export const annexPrefixes = (tag: string): AnnexNames => ({ bridge: `gb${tag}`, link: `gl${tag}`, uplink: `gu${tag}` });
