/** Host ports of the driver's endpoints: which are taken, the sockets that reserve them, and who keeps these while the daemon is away. */
import type { EndpointReference } from "../../core/network.ts";
import type { PortProtocol, PortRequest, PublishedEndpoint, PublishedPort } from "../../core/network-ports.ts";
import { messageOf, notImplemented, systemError } from "../../lib/errors.ts";
import type { GantryError } from "../../lib/errors.ts";
import { formatIp } from "../../lib/ip.ts";
import type { IpAddress, IpFamily } from "../../lib/ip.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import { PortRefusal, heldBy } from "../../sys/port-reservation.ts";
import type { PortReservation, PortWish } from "../../sys/port-reservation.ts";
import { PROTOCOL_NUMBER } from "./published.ts";

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
  /** Of the endpoint's addresses. */
  families: readonly IpFamily[];
  /** Families whose published ports are reached at the endpoint's own addresses. */
  routed: readonly IpFamily[];
}

export interface Ports {
  reserve(endpoint: EndpointReference, requests: readonly PortRequest[], rules: PortRules): Promise<PublishedPort[]>;
  /** Has the reservation outlive this process. */
  keep(endpoint: EndpointReference): Promise<void>;
  release(endpoint: EndpointReference): Promise<void>;
  restore(endpoint: PublishedEndpoint): Promise<void>;
  /** Of this process only. */
  close(): void;
}

interface Holding {
  ports: readonly PublishedPort[];
  reservation: PortReservation | undefined;
}

interface Wanted {
  protocol: PortProtocol;
  port: number;
  /** At several, with the same port, only every address of each family. */
  hostAddresses: readonly IpAddress[];
  hostPorts: { first: number; last: number };
}

/** What Docker takes when the kernel does not say. */
const DEFAULT_RANGE = { first: 49153, last: 60999 };

export function createPorts({ kernel, keeper, warn }: { kernel: NetworkKernel; keeper: DescriptorKeeper | undefined; warn: (message: string) => void }): Ports {
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
    return { wanted: requests.map(({ protocol, port, hostAddress, hostPorts }) => ({ protocol, port, hostAddresses: addressesFor(hostAddress, rules), hostPorts: hostPorts ?? range })), range };
  };

  const bind = async (wanted: readonly Wanted[], range: typeof DEFAULT_RANGE): Promise<PortReservation> => {
    const wishes = wanted.map((one): PortWish => ({ protocol: PROTOCOL_NUMBER[one.protocol], address: one.hostAddresses[0]!, ...(one.hostAddresses.length > 1 ? { both: true } : {}), ...one.hostPorts, start: startOf(one, range) }));
    try {
      return await kernel.reservePorts(wishes);
    } catch (error) {
      throw error instanceof PortRefusal ? refusalOf(wanted[error.index]!, error.code) : error;
    }
  };

  const reserve = async (requests: readonly PortRequest[], rules: PortRules): Promise<Holding> => {
    const { wanted, range } = await complete(requests, rules);
    const bound = wanted.filter(({ hostAddresses }) => hostAddresses.length > 0);
    const exact = bound.filter(isExact);
    // Exact ones first: a range may yield, they cannot.
    const order = [...exact, ...bound.filter((one) => !isExact(one))];
    taken.addAll(exact.flatMap((one) => publishedAs(one)));
    try {
      const reservation = order.length > 0 ? await bind(order, range) : undefined;
      const ports = new Map(order.map((one, index) => [one, publishedAs(one, reservation?.ports[index])]));
      for (const [one, published] of ports) if (!isExact(one)) published.forEach((port) => taken.add(port));
      return { reservation, ports: wanted.flatMap((one, index) => [...(ports.get(one) ?? []), ...routedPorts(requests[index]!, rules)]) };
    } catch (error) {
      exact.flatMap((one) => publishedAs(one)).forEach((port) => taken.delete(port));
      throw error;
    }
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
    release: async ({ endpointId }) => {
      const holding = holdings.get(endpointId);
      if (!holding) return;
      holdings.delete(endpointId);
      try {
        await keeper?.drop(nameOf(endpointId));
      } finally {
        holding.reservation?.close();
        holding.ports.forEach((port) => taken.delete(port));
      }
    },
    restore: async ({ endpointId, ports }) => {
      const own = ports.filter(({ hostPort }) => hostPort !== 0);
      own.forEach((port) => taken.add(port));
      const holding: Holding = { ports, reservation: undefined };
      holdings.set(endpointId, holding);
      const kept = await keeper?.get(nameOf(endpointId)).catch((error: unknown) => warn(`asking for kept ports: ${messageOf(error)}`));
      if (kept !== undefined) {
        holding.reservation = heldBy(kept, []);
        return;
      }
      try {
        if (own.length === 0) return;
        holding.reservation = await bind(own.map((port) => ({ ...port, hostAddresses: [port.hostAddress], hostPorts: { first: port.hostPort, last: port.hostPort } })), DEFAULT_RANGE);
        await keep(endpointId, holding.reservation.fd);
      } catch (error) {
        warn(`a port of a running container cannot be reserved again; it stays published: ${messageOf(error)}`);
      }
    },
    close: () => {
      for (const { reservation } of holdings.values()) reservation?.close();
      holdings.clear();
    },
  };
}

const nameOf = (endpointId: string): string => `ports/${endpointId}`;
const isExact = ({ hostPorts: { first, last } }: Wanted): boolean => first === last;
const publishedAs = ({ protocol, port, hostAddresses, hostPorts }: Wanted, hostPort = hostPorts.first): PublishedPort[] => hostAddresses.map((hostAddress) => ({ protocol, port, hostAddress, hostPort }));
const everywhere = (family: IpFamily): IpAddress => ({ family, value: 0n });

/** Of the host, where the port is bound; none where it is reached without. */
function addressesFor(asked: IpAddress | undefined, { hostBinding, families, routed }: PortRules): IpAddress[] {
  const served = families.filter((family) => !routed.includes(family));
  const named = asked ?? (hostBinding && served.includes(4) ? hostBinding : undefined);
  if (!named) return served.map(everywhere);
  if (routed.includes(named.family)) return [];
  if (!families.includes(named.family)) throw notImplemented(`a port cannot be published at ${formatIp(named)}: the container has no IPv${named.family} address`);
  return [named];
}

const routedPorts = ({ protocol, port, hostAddress }: PortRequest, { families, routed }: PortRules): PublishedPort[] =>
  routed.filter((family) => families.includes(family) && (!hostAddress || hostAddress.family === family)).map((family) => ({ protocol, port, hostAddress: everywhere(family), hostPort: 0 }));

/** "32768\t60999" */
function localPorts(text: string | undefined): typeof DEFAULT_RANGE {
  const [first, last] = (text ?? "").trim().split(/\s+/).map(Number);
  return first && last && first <= last && last <= 65535 ? { first, last } : DEFAULT_RANGE;
}

const REASONS: Record<string, string> = { EADDRINUSE: "address already in use", EADDRNOTAVAIL: "cannot assign requested address", EACCES: "permission denied", EPROTONOSUPPORT: "protocol not supported" };

/** Docker's words. */
function refusalOf(wanted: Wanted, code: string): GantryError {
  if (!isExact(wanted) && code === "EADDRINUSE") return systemError("all ports are allocated");
  const { protocol, hostAddress, hostPort } = publishedAs(wanted)[0]!;
  return systemError(`failed to bind host port ${withPort({ hostAddress, hostPort })}/${protocol}: ${REASONS[code] ?? code}`);
}

/** The host ports of all endpoints of this daemon, to tell them from those of other programs. */
class TakenPorts {
  /** Addresses by protocol and port. */
  readonly #addresses = new Map<string, bigint[]>();

  /** All or none. */
  addAll(ports: readonly PublishedPort[]): void {
    ports.forEach((port, index) => {
      if (!this.#conflicts(port)) return this.add(port);
      ports.slice(0, index).forEach((added) => this.delete(added));
      throw systemError(`Bind for ${withPort(port)} failed: port is already allocated`);
    });
  }

  add(port: PublishedPort): void {
    const key = keyOf(port);
    this.#addresses.set(key, [...(this.#addresses.get(key) ?? []), port.hostAddress.value]);
  }

  delete(port: PublishedPort): void {
    const key = keyOf(port);
    const left = (this.#addresses.get(key) ?? []).filter((address) => address !== port.hostAddress.value);
    if (left.length > 0) this.#addresses.set(key, left);
    else this.#addresses.delete(key);
  }

  /** The wildcard address with every other. */
  #conflicts(port: PublishedPort): boolean {
    const present = this.#addresses.get(keyOf(port)) ?? [];
    return present.length > 0 && (port.hostAddress.value === 0n || present.includes(0n) || present.includes(port.hostAddress.value));
  }
}

const keyOf = ({ protocol, hostAddress: { family }, hostPort }: PublishedPort): string => `${protocol}/${hostPort}/${family}`;
const withPort = ({ hostAddress, hostPort }: Pick<PublishedPort, "hostAddress" | "hostPort">): string => (hostAddress.family === 4 ? `${formatIp(hostAddress)}:${hostPort}` : `[${formatIp(hostAddress)}]:${hostPort}`);
