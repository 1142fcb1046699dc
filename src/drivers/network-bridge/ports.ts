/** Host ports of the driver's endpoints: which are taken, the sockets that reserve them, and who keeps these while the daemon is away. */
import type { EndpointReference } from "../../core/network.ts";
import { PortBusy, singleRequests } from "../../core/network-ports.ts";
import type { PortChange, PortFamilies, PortProtocol, PortRequest, PublishedEndpoint, PublishedPort } from "../../core/network-ports.ts";
import { counted, countOf, joined, singles, withoutSingles } from "../../core/port-runs.ts";
import { messageOf, notImplemented, systemError } from "../../lib/errors.ts";
import type { GantryError } from "../../lib/errors.ts";
import { formatIp } from "../../lib/ip.ts";
import type { IpAddress, IpFamily } from "../../lib/ip.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import { PortRefusal, heldBy } from "../../sys/port-reservation.ts";
import type { BoundPort, PortReservation, PortWish } from "../../sys/port-reservation.ts";
import { FAMILIES } from "./firewall-family.ts";
import { PROTOCOL_NUMBER } from "./published.ts";
import { relayedPorts } from "./relay.ts";
import type { Relay } from "./relay.ts";
import { TakenPorts, withPort } from "./taken-ports.ts";

/** Keeps descriptors under names while this process is away. */
export interface DescriptorKeeper {
  put(name: string, fd: number): Promise<void>;
  get(name: string): Promise<number | undefined>;
  drop(name: string): Promise<void>;
}

/** What a network says about ports of its endpoints. */
export interface PortRules {
  /** Where ports are published that name no address; absent: everywhere. */
  hostBinding?: IpAddress;
  families: PortFamilies;
  /** Families whose published ports are reached at the endpoint's own addresses. */
  routed: readonly IpFamily[];
}

export interface Ports {
  reserve(endpoint: EndpointReference, requests: readonly PortRequest[], rules: PortRules): Promise<PublishedPort[]>;
  /** Has the new ones reserved, beside those that the endpoint has. */
  change(endpoint: EndpointReference, change: Pick<PortChange, "remove" | "add">, rules: PortRules): Promise<ChangedPorts>;
  /** Has the reservation outlive this process. */
  keep(endpoint: EndpointReference): Promise<void>;
  /** Has the relay serve what is its; with `loopback6` what the host reaches at ::1 is. */
  serve(endpoint: PublishedEndpoint, loopback6: boolean): Promise<void>;
  /** There is one. */
  readonly relays: boolean;
  /** Ends what the relay serves of other endpoints. */
  recover(endpointIds: readonly string[]): Promise<void>;
  release(endpoint: EndpointReference): Promise<void>;
  restore(endpoint: PublishedEndpoint): Promise<void>;
  /** Of this process only. */
  close(): void;
}

export interface ChangedPorts {
  /** All that the endpoint will have. */
  ports: PublishedPort[];
  /** Gives back those that go. */
  settle(): Promise<void>;
  /** Gives back those that came. */
  cancel(): void;
}

interface Holding {
  ports: readonly PublishedPort[];
  reservation: PortReservation | undefined;
  /** So many ports are in the reservation's copies, while these are open: all that the relay will serve at first, but for those that were asked for at an address. */
  copied: number;
}

interface Wanted {
  protocol: PortProtocol;
  port: number;
  /** At several, with the same port, only every address of each family. */
  hostAddresses: readonly IpAddress[];
  hostPorts: { first: number; last: number };
  /** Consecutive ports at exactly these; absent: one. */
  count?: number;
}

interface Acquired {
  reservation: PortReservation | undefined;
  ports: Map<Wanted, PublishedPort[]>;
}

/** What Docker takes when the kernel does not say. */
const DEFAULT_RANGE = { first: 49153, last: 60999 };

export interface PortsOptions {
  kernel: NetworkKernel;
  keeper: DescriptorKeeper | undefined;
  /** Absent: ports are served at addresses of the endpoint's families alone. */
  relay: Relay | undefined;
  /** The firewall serves ports at addresses of the endpoint's families; else the relay does. */
  rules: boolean;
  warn: (message: string) => void;
}

export function createPorts({ kernel, keeper, relay, rules: hasRules, warn }: PortsOptions): Ports {
  const holdings = new Map<string, Holding>();
  const taken = new TakenPorts();
  /** Where the search for a free port goes on, by protocol. */
  const next = new Map<string, number>();

  const startOf = ({ protocol, hostPorts: { first, last } }: Wanted, range: typeof DEFAULT_RANGE): number => {
    if (first !== range.first || last !== range.last) return first;
    const at = next.get(protocol) ?? first;
    const start = at < first || at > last ? first : at;
    next.set(protocol, start + 1);
    return start;
  };

  const complete = async (requests: readonly PortRequest[], rules: PortRules): Promise<{ wanted: Wanted[]; range: typeof DEFAULT_RANGE }> => {
    const range = requests.some(({ hostPorts }) => !hostPorts) ? localPorts((await kernel.readSysctls(["net/ipv4/ip_local_port_range"]))[0]) : DEFAULT_RANGE;
    return { wanted: requests.map((request) => ({ protocol: request.protocol, port: request.port, hostAddresses: addressesFor(request, rules, relay !== undefined), hostPorts: request.hostPorts ?? range, ...counted(countOf(request)) })), range };
  };

  /** The relay gets its sockets of IPv6: it serves them at least at link-local addresses, as relayedPorts() says. */
  const isCopied = ({ protocol, hostAddresses }: Wanted): boolean => relay !== undefined && hasRules && protocol !== "sctp" && hostAddresses.length > 1;

  const bind = async (wanted: readonly Wanted[], range: typeof DEFAULT_RANGE): Promise<PortReservation> => {
    const wishes = wanted.map((one): PortWish => ({ protocol: PROTOCOL_NUMBER[one.protocol], address: one.hostAddresses[0]!, ...(one.hostAddresses.length > 1 ? { both: true, copied: isCopied(one) } : {}), ...one.hostPorts, start: startOf(one, range), ...(isExact(one) ? { all: true } : {}) }));
    try {
      return await kernel.reservePorts(wishes);
    } catch (error) {
      throw error instanceof PortRefusal ? refusalOf(wanted[error.index]!, error) : error;
    }
  };

  const bindAgain = async (port: PublishedPort): Promise<PortReservation | undefined> => {
    try {
      return await bind([{ ...port, hostAddresses: [port.hostAddress], hostPorts: { first: port.hostPort, last: port.hostPort } }], DEFAULT_RANGE);
    } catch (error) {
      warn(`a port of a running container cannot be reserved again; it stays published: ${messageOf(error)}`);
      return undefined;
    }
  };

  /** Those that take a port of the host; nothing is taken where it fails. */
  const acquire = async (wanted: readonly Wanted[], range: typeof DEFAULT_RANGE): Promise<Acquired> => {
    const bound = wanted.filter(({ hostAddresses }) => hostAddresses.length > 0);
    const exact = bound.filter(isExact);
    // Exact ones first: a range may yield, they cannot.
    const order = [...exact, ...bound.filter((one) => !isExact(one))];
    taken.addAll(exact.flatMap((one) => publishedAs(one)));
    try {
      const reservation = order.length > 0 ? await bind(order, range) : undefined;
      const ports = new Map(order.map((one, index) => [one, publishedAs(one, reservation?.ports[index])]));
      for (const [one, published] of ports) if (!isExact(one)) published.forEach((port) => taken.add(port));
      return { reservation, ports };
    } catch (error) {
      exact.flatMap((one) => publishedAs(one)).forEach((port) => taken.delete(port));
      throw error;
    }
  };

  const reserve = async (requests: readonly PortRequest[], rules: PortRules): Promise<Holding> => {
    const { wanted, range } = await complete(requests, rules);
    const { reservation, ports } = await acquire(wanted, range);
    return { reservation, copied: sum(wanted.filter(isCopied)), ports: wanted.flatMap((one, index) => [...(ports.get(one) ?? []), ...routedPorts(requests[index]!, rules)]) };
  };

  const change = async ({ endpointId }: EndpointReference, { remove, add }: Pick<PortChange, "remove" | "add">, rules: PortRules): Promise<ChangedPorts> => {
    const before: Holding = holdings.get(endpointId) ?? { ports: [], reservation: undefined, copied: 0 };
    const requests = singleRequests(add);
    const { wanted, range } = await complete(requests, rules);
    const going = new Map(singles(remove).filter(isBound).map((port) => [socketOf(port), port]));
    const stays = wanted.map((one) => staysBound(one, going));
    const { reservation, ports: come } = await acquire(wanted.filter((_, index) => !stays[index]), range);
    const added = wanted.map((one, index) => [...(stays[index] ? publishedAs(one) : (come.get(one) ?? [])), ...routedPorts(requests[index]!, rules)]);
    const removed = new Set(singles(remove).map(textOf));
    let from = 0;
    const together = add.flatMap((request) => joined(added.slice(from, (from += countOf(request))).flat(), addressOf));
    const ports = [...withoutSingles(before.ports, (port) => removed.has(textOf(port))), ...together];
    return {
      ports,
      settle: async () => {
        await hold(endpointId, ports, [before.reservation, reservation]);
        for (const port of going.values()) taken.delete(port);
      },
      cancel: () => {
        reservation?.close();
        for (const port of [...come.values()].flat()) taken.delete(port);
      },
    };
  };

  /** The endpoint has these ports from now on, out of what `from` have, which are closed. */
  const hold = async (endpointId: string, ports: readonly PublishedPort[], from: readonly (PortReservation | undefined)[]): Promise<boolean[]> => {
    const present = from.filter((one) => one !== undefined);
    const bound = singles(ports.filter(isBound));
    const { reservation, found } = kernel.pickPorts(present, bound.map(boundPort));
    holdings.set(endpointId, { ports, reservation, copied: 0 });
    if (bound.length > 0) await keep(endpointId, reservation.fd);
    else await keeper?.drop(nameOf(endpointId));
    await Promise.all(present.map((one) => one.end()));
    return found;
  };

  const serve = async (endpoint: PublishedEndpoint, loopback6: boolean): Promise<void> => {
    const relayed = relayedPorts(endpoint, { rules: hasRules, loopback6 });
    const holding = holdings.get(endpoint.endpointId);
    let copies = holding && holding.copied === sum(relayed) ? holding.reservation?.copies : undefined;
    await relay?.serve(endpoint.endpointId, relayed, () => {
      const first = copies;
      copies = undefined;
      const { reservation } = holdings.get(endpoint.endpointId) ?? {};
      return first ?? kernel.pickPorts(reservation ? [reservation] : [], singles(relayed).map(boundPort)).reservation;
    });
    holding?.reservation?.copies?.close();
    if (holding) holding.copied = 0;
  };

  const keep = async (endpointId: string, fd: number): Promise<void> => {
    try {
      await keeper?.put(nameOf(endpointId), fd);
    } catch (error) {
      warn(`ports of endpoint ${endpointId} are not reserved while the daemon is restarted: ${messageOf(error)}`);
    }
  };

  return {
    reserve: async ({ endpointId }, requests, rules) => {
      const holding = await reserve(requests, rules);
      holdings.set(endpointId, holding);
      return [...holding.ports];
    },
    keep: async ({ endpointId }) => {
      const reservation = holdings.get(endpointId)?.reservation;
      if (reservation) await keep(endpointId, reservation.fd);
    },
    serve,
    relays: relay !== undefined,
    recover: async (endpointIds) => relay?.keepOnly(endpointIds),
    release: async ({ endpointId }) => {
      const holding = holdings.get(endpointId);
      if (!holding) return;
      holdings.delete(endpointId);
      try {
        await Promise.all([relay?.drop(endpointId), keeper?.drop(nameOf(endpointId))]);
      } finally {
        await holding.reservation?.end();
        holding.ports.forEach((port) => taken.delete(port));
      }
    },
    change,
    restore: async ({ endpointId, ports }) => {
      const own = singles(ports.filter(isBound));
      own.forEach((port) => taken.add(port));
      holdings.set(endpointId, { ports, reservation: undefined, copied: 0 });
      if (own.length === 0) return;
      const kept = await keeper?.get(nameOf(endpointId)).catch((error: unknown) => warn(`asking for kept ports: ${messageOf(error)}`));
      const reserved = kept === undefined ? undefined : heldBy(kept, []);
      // What a change had reserved that was recorded and no more is reserved again.
      const found = reserved ? await hold(endpointId, ports, [reserved]) : [];
      const lost = own.filter((_, index) => !found[index]);
      if (lost.length === 0) return;
      // It has sockets of its own at those that it served, and gets the new ones.
      await relay?.forget(endpointId).catch((error: unknown) => warn(messageOf(error)));
      const again = await Promise.all(lost.map(bindAgain));
      await hold(endpointId, ports, [holdings.get(endpointId)?.reservation, ...again]);
    },
    close: () => {
      relay?.close();
      for (const { reservation } of holdings.values()) reservation?.close();
      holdings.clear();
    },
  };
}

const sum = (runs: readonly { count?: number }[]): number => runs.reduce((count, run) => count + countOf(run), 0);
const nameOf = (endpointId: string): string => `ports/${endpointId}`;
const isExact = ({ hostPorts: { first, last }, count = 1 }: Wanted): boolean => last - first + 1 === count;
const publishedAs = ({ protocol, port, hostAddresses, hostPorts, count = 1 }: Wanted, hostPort = hostPorts.first): PublishedPort[] => hostAddresses.map((hostAddress) => ({ protocol, port, hostAddress, hostPort, ...counted(count) }));
/** It takes a port of the host. */
const isBound = ({ hostPort }: PublishedPort): boolean => hostPort !== 0;
const boundPort = ({ protocol, hostAddress, hostPort }: PublishedPort): BoundPort => ({ protocol: PROTOCOL_NUMBER[protocol], address: hostAddress, port: hostPort });
const socketOf = ({ protocol, hostAddress: { family, value }, hostPort }: PublishedPort): string => `${protocol}/${hostPort}/${family}/${value}`;
const textOf = (port: PublishedPort): string => `${socketOf(port)} ${port.port}`;
const addressOf = ({ protocol, hostAddress, hostPort }: PublishedPort): string => `${protocol}/${hostAddress.family}/${hostAddress.value}/${hostPort === 0 ? "routed" : ""}`;

/** All its sockets are among those that go: then they stay, and do not go. */
function staysBound(one: Wanted, going: Map<string, PublishedPort>): boolean {
  const sockets = isExact(one) ? publishedAs(one).map(socketOf) : [];
  if (sockets.length === 0 || !sockets.every((socket) => going.has(socket))) return false;
  for (const socket of sockets) going.delete(socket);
  return true;
}

const everywhere = (family: IpFamily): IpAddress => ({ family, value: 0n });

/** Of the host, where the port is bound; none where it is reached without. `relays`: a relay can serve it. */
function addressesFor({ hostAddress: asked, protocol }: PortRequest, { hostBinding, families, routed }: PortRules, relays: boolean): IpAddress[] {
  const own = families.served.filter((family) => !routed.includes(family));
  const relayed = relays && protocol !== "sctp" && own.length > 0 ? families.left : [];
  const named = asked ?? (hostBinding && own.includes(4) ? hostBinding : undefined);
  if (!named) return FAMILIES.filter((family) => own.includes(family) || relayed.includes(family)).map(everywhere);
  if (own.includes(named.family) || relayed.includes(named.family)) return [named];
  if (families.left.includes(named.family)) throw notImplemented(`a port cannot be published at ${formatIp(named)}: the container has no IPv${named.family} address`);
  return [];
}

const routedPorts = ({ protocol, port, hostAddress, count = 1 }: PortRequest, { families, routed }: PortRules): PublishedPort[] =>
  routed.filter((family) => families.own.includes(family) && (!hostAddress || hostAddress.family === family)).map((family) => ({ protocol, port, hostAddress: everywhere(family), hostPort: 0, ...counted(count) }));

/** "32768\t60999" */
function localPorts(text: string | undefined): typeof DEFAULT_RANGE {
  const [first, last] = (text ?? "").trim().split(/\s+/).map(Number);
  return first && last && first <= last && last <= 65535 ? { first, last } : DEFAULT_RANGE;
}

const REASONS: Record<string, string> = { EADDRINUSE: "address already in use", EADDRNOTAVAIL: "cannot assign requested address", EACCES: "permission denied", EPROTONOSUPPORT: "protocol not supported" };

/** Docker's words. */
function refusalOf(wanted: Wanted, { code, offset }: PortRefusal): GantryError {
  if (!isExact(wanted) && code === "EADDRINUSE") return systemError("all ports are allocated", new PortBusy(publishedAs(wanted)[0]!.hostPort));
  const { protocol, hostAddress, hostPort } = publishedAs(wanted, wanted.hostPorts.first + offset)[0]!;
  return systemError(`failed to bind host port ${withPort({ hostAddress, hostPort })}/${protocol}: ${REASONS[code] ?? code}`, code === "EADDRINUSE" || code === "EADDRNOTAVAIL" ? new PortBusy(hostPort) : undefined);
}
