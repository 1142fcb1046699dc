/**
 * Published ports: an optional ability of a network driver.
 *
 *   reservePorts ──▶ (the engine records them) ──▶ join with `ports` ──▶ releasePorts ──▶ leave
 *                                                  changePorts ──▶ (recorded) ──▶ apply
 *
 * Reserved ports are this endpoint's: conflicts are found before anything else is changed. They answer once the endpoint
 * has joined with them, or later with publishPorts, and outlive the daemon; `restorePorts` comes after its restart, before the networks are made, so that nothing is interrupted.
 */
import type { IpAddress, IpFamily, IpPrefix } from "../lib/ip.ts";
import type { EndpointReference, NetworkDriver } from "./network.ts";
import { countOf } from "./port-runs.ts";
import type { PortRun } from "./port-runs.ts";

export const PORT_PROTOCOLS = ["tcp", "udp", "sctp"] as const;
export type PortProtocol = (typeof PORT_PROTOCOLS)[number];

/** A port of the endpoint that shall be reached at a port of this host; or consecutive ones, each at the next one. */
export interface PortRequest {
  protocol: PortProtocol;
  /** The endpoint's. */
  port: number;
  /** Absent: as the network says, else every address. */
  hostAddress?: IpAddress;
  /** Any one of these; absent: any that is free, as the kernel's range of local ports says. */
  hostPorts?: { first: number; last: number };
  /** So many ports, from `port` on, at exactly `hostPorts`; absent: one. */
  count?: number;
}

export interface PublishedPort extends PortRun {
  protocol: PortProtocol;
  /** 0.0.0.0 and ::: every address of its family. */
  hostAddress: IpAddress;
  /** 0: none, the endpoint's own address is reached from everywhere at this port. */
  hostPort: number;
}

export interface PortFamilies {
  /** Of the endpoint's addresses. */
  own: readonly IpFamily[];
  /** Its sandbox's default routes of these go through it: ports of the host lead to it. */
  served: readonly IpFamily[];
  /** No endpoint has default routes of these: this one stands in where it can. */
  left: readonly IpFamily[];
}

export interface PublishedEndpoint extends EndpointReference {
  addresses: IpPrefix[];
  ports: readonly PublishedPort[];
}

export interface PortChange {
  /** Of those that the endpoint has; of consecutive ones also some. */
  remove: readonly PublishedPort[];
  add: readonly PortRequest[];
  /** As reservePorts has them. */
  families: PortFamilies;
}

/** A change whose new ports are reserved, and of which nothing else is done. One of the two ends it. */
export interface PreparedPorts {
  /** All that the endpoint will have. */
  ports: PublishedPort[];
  apply(): Promise<void>;
  cancel(): void;
}

export interface PublishesPorts {
  /**
   * All or none, in the order of the requests: one for each of the families that the endpoint serves, with the same port, but for
   * requests that name an address. What is taken already: "system", in Docker's words.
   */
  reservePorts(endpoint: EndpointReference, requests: readonly PortRequest[], families: PortFamilies): Promise<PublishedPort[]>;
  /** Has reserved ports answer of an endpoint that has joined already. */
  publishPorts(endpoint: PublishedEndpoint): Promise<void>;
  /** Of an endpoint that has joined: some of its ports go and others come, together. A host port that goes may come again for another port. */
  changePorts(endpoint: PublishedEndpoint, change: PortChange): Promise<PreparedPorts>;
  /** They do not answer any more and are free when this resolves. Idempotent. */
  releasePorts(endpoint: EndpointReference): Promise<void>;
  /** Takes up what an earlier life of the daemon published. */
  restorePorts(endpoints: readonly PublishedEndpoint[]): Promise<void>;
}

/** Each port as a request of its own. */
export const singleRequests = (requests: readonly PortRequest[]): PortRequest[] =>
  requests.flatMap((request) => {
    const { count, ...first } = request;
    const { port, hostPorts } = first;
    if (countOf(request) === 1 || !hostPorts) return [first];
    return Array.from({ length: count! }, (_, index) => ({ ...first, port: port + index, hostPorts: { first: hostPorts.first + index, last: hostPorts.first + index } }));
  });

/** Optional: leads to the outside by itself, where default routes go through an endpoint that has joined; ports are what it makes of them. */
export interface LeadsOutside {
  /** With the ports that the container publishes and exposes, as it asks for them. */
  openOutside(endpoint: EndpointReference, ports: { published: readonly PortRequest[]; exposed: readonly { protocol: PortProtocol; port: number }[] }): Promise<void>;
  closeOutside(endpoint: EndpointReference): Promise<void>;
}

export const leadsOutside = (driver: NetworkDriver): driver is NetworkDriver & LeadsOutside => "openOutside" in driver;

/** The innermost `cause` of the error for a host's port or address that cannot be had now, and perhaps later. */
export class PortBusy {
  readonly port: number;
  constructor(port: number) {
    this.port = port;
  }
}

export const isPortBusy = (error: unknown): boolean => error instanceof PortBusy || (error instanceof Error && error.cause !== undefined && isPortBusy(error.cause));

export const publishesPorts = (driver: NetworkDriver): driver is NetworkDriver & PublishesPorts => "reservePorts" in driver;
