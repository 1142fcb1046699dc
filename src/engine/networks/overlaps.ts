/** Routes of the host that lead where containers are, as those of a VPN that comes up later: each is told of once, when it appears. */
import type { EventSink } from "../../core/events.ts";
import { messageOf } from "../../lib/errors.ts";
import { contains, formatIp, formatPrefix, overlaps, parsePrefix } from "../../lib/ip.ts";
import type { IpAddress, IpPrefix } from "../../lib/ip.ts";
import type { Network } from "./predefined.ts";

export interface HostRoute {
  destination: IpPrefix;
  /** Of the interface. */
  index: number;
}

export interface HostInterface {
  name: string;
  addresses: IpAddress[];
}

export interface RouteEvents {
  added: readonly HostRoute[];
  removed: readonly HostRoute[];
}

/** The routes that others than the kernel itself choose among: unicast ones of the main table, without default routes. */
export interface HostRoutes {
  list(): Promise<HostRoute[]>;
  /** undefined: some changes were missed. */
  watch(changed: (events: RouteEvents | undefined) => void): Promise<{ close(): void }>;
  interface(index: number): Promise<HostInterface | undefined>;
}

export interface OverlapOptions {
  routes: HostRoutes;
  networks: () => readonly Network[];
  events: EventSink;
  warn: (message: string) => void;
}

export async function watchOverlaps({ routes, networks, events, warn }: OverlapOptions): Promise<{ close(): void }> {
  /** What was told of each route, by its key. */
  const told = new Map<string, Set<string>>();
  let checking = Promise.resolve();

  const tell = ({ row, driver, definition }: Network, subnet: IpPrefix, { destination, via }: { destination: IpPrefix; via: string }): void => {
    const [route, own] = [formatPrefix(destination), formatPrefix(subnet)];
    warn(`the host's route to ${route} through ${via} overlaps the network ${row.name} (${own}): one hides the other's addresses; ${definition ? `"network move ${row.name} --subnet ..."` : "the setting bip"} gives the network another subnet`);
    events.emit({ type: "network", action: "overlap", actor: { id: row.id, attributes: { name: row.name, type: driver.id, subnet: own, route, interface: via } } });
  };

  const check = async (route: HostRoute): Promise<void> => {
    if (isAside(route.destination)) return;
    const hit = subnetsOf(networks()).filter(({ subnet }) => overlaps(subnet, route.destination));
    if (hit.length === 0) return;
    const known = told.get(keyOf(route)) ?? new Set();
    const found = await routes.interface(route.index);
    const isOwn = networks().some(({ spec: { subnets } }) => subnets.some(({ gateway }) => gateway && found?.addresses.some((address) => formatIp(address) === formatIp(gateway))));
    if (!found || isOwn) return;
    told.set(keyOf(route), known);
    for (const { network, subnet } of hit) {
      const text = `${network.row.id} ${formatPrefix(subnet)}`;
      if (!known.has(text)) tell(network, subnet, { destination: route.destination, via: found.name });
      known.add(text);
    }
  };

  const checkAll = async (): Promise<void> => {
    const present = await routes.list();
    const keys = new Set(present.map(keyOf));
    for (const key of told.keys()) if (!keys.has(key)) told.delete(key);
    for (const route of present) await check(route);
  };

  const later = (run: () => Promise<void>): void => {
    checking = checking.then(run).catch((error: unknown) => warn(`looking at the host's routes: ${messageOf(error)}`));
  };

  const watching = await routes.watch((change) => {
    if (!change) return later(checkAll);
    later(async () => {
      for (const route of change.removed) told.delete(keyOf(route));
      for (const route of change.added) await check(route);
    });
  });
  later(checkAll);
  return watching;
}

const keyOf = ({ destination, index }: HostRoute): string => `${formatPrefix(destination)} ${index}`;

/** Networks whose segment is this host's; those of others are on a wire that the host has its own routes to. */
function subnetsOf(networks: readonly Network[]): { network: Network; subnet: IpPrefix }[] {
  return networks.flatMap((network) => (network.driver.capabilities.gateways === "own" ? network.spec.subnets.map(({ subnet }) => ({ network, subnet })) : []));
}

const LINK_LOCAL = parsePrefix("fe80::/10")!;
/** Halves of everything stand for a default route; link-local addresses are each link's own. */
const isAside = (destination: IpPrefix): boolean => destination.length <= 1 || contains(LINK_LOCAL, destination.address);
