/**
 * The way of a packet: hop by hop through containers and this host, as the kernel has interfaces, routes and firewall rules at
 * this moment. The engine says who is meant, the finder looks.
 *
 *   container web ── eth0 ─▶ bridge docker0 ─▶ (rules) ─▶ docker0's other port ─▶ container db
 *
 * The packet is the first of a connection. What cannot be known without sending it (limits, matches of other programs that
 * are not understood) makes the step "maybe"; a probe sends it.
 */
import type { IpAddress, IpFamily } from "../lib/ip.ts";

export type PathEnd =
  | { kind: "container"; name: string; /** Of a process in it. */ pid: number }
  | { kind: "host" }
  /** Somebody that this machine knows by an address alone; without one, whoever comes in by the default route. */
  | { kind: "outside" };

export interface PathQuery {
  from: PathEnd;
  to: PathEnd;
  /** Of the one who asks; absent: the route's. */
  source?: IpAddress;
  destination: IpAddress;
  protocol: "tcp" | "udp" | "icmp";
  /** Absent with icmp. */
  port?: number;
  /** Whose an address is, for what is shown. */
  nameOf: (address: IpAddress) => string | undefined;
  /** The container that has the address. */
  endOf: (address: IpAddress) => PathEnd | undefined;
}

export type StepVerdict = "pass" | "stop" | "maybe" | "note";

export interface PathStep {
  /** "container web", "host". */
  where: string;
  kind: "name" | "address" | "route" | "interface" | "rule" | "redirect" | "socket";
  verdict: StepVerdict;
  text: string;
}

export interface FoundPath {
  steps: PathStep[];
  /** It would arrive; "maybe" where a step is. */
  reached: boolean | "maybe";
}

export interface ProbeResult {
  succeeded: boolean;
  text: string;
}

export interface PathFinder {
  /** The address of this host that somebody with that address reaches it by; without one, whoever comes by the default route. undefined: there is none. */
  hostAddress(family: IpFamily, peer?: IpAddress): Promise<IpAddress | undefined>;
  find(query: PathQuery): Promise<FoundPath>;
  /** Connects, or sends a datagram. Throws for ends that nothing can be sent from. */
  probe(query: PathQuery): Promise<ProbeResult>;
}
