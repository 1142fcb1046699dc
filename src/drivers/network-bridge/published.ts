/**
 * Published ports as elements of the firewall's maps: one hash element each, whose cost does not grow with their number. Long
 * runs of ports that keep their numbers, at every address, are one element of a map of ranges.
 */
import type { PortProtocol, PublishedPort } from "../../core/network-ports.ts";
import { countOf, singles } from "../../core/port-runs.ts";
import { ipToBytes } from "../../lib/ip.ts";
import type { IpAddress } from "../../lib/ip.ts";
import type { FlowFilter } from "../../sys/netlink/conntrack.ts";
import { rangesOf, setOf } from "./firewall-family.ts";
import { concatenation, portBytes } from "../../sys/netlink/nftables.ts";
import type { NftChange, NftElement } from "../../sys/netlink/nftables.ts";

/** The ports of one endpoint. */
export interface Publication {
  /** The endpoint's: one of each family at most. */
  addresses: readonly IpAddress[];
  ports: readonly PublishedPort[];
  networkId: string;
}

export const PROTOCOL_NUMBER = { tcp: 6, udp: 17, sctp: 132 } as const;

/** A netlink attribute ends at 64 KB. */
const ELEMENTS_PER_CHANGE = 1000;

const PROTOCOLS = ["tcp", "udp", "sctp"] as const;
/** Shorter runs are cheaper as hash elements: those of ranges are kept in a tree. */
const MIN_RUN = 16;
const MAX_PORT = 65535;

export interface PublishRules {
  /** Every port is reached at the endpoint's own addresses too. */
  directRouting: boolean;
  /** The network trusts interfaces of the host. */
  trusting: (networkId: string) => boolean;
}

/** Those of a host's single address, those of every address, ranges of these, and those that are reached without the host's. */
export function publishedElements(op: "addElements" | "deleteElements", publications: readonly Publication[], { directRouting, trusting }: PublishRules): ElementsChange[] {
  const maps = new Map<string, NftElement[]>();
  const push = (set: string, made: NftElement): void => void (maps.get(set)?.push(made) ?? maps.set(set, [made]));
  for (const { addresses, ports, networkId } of publications) {
    for (const address of addresses) {
      const { family } = address;
      const own = ports.filter(({ hostAddress }) => hostAddress.family === family);
      const { runs, others } = splitRuns(own.filter(({ hostPort }) => hostPort !== 0));
      for (const run of runs) push(rangesOf(run.protocol, family), rangeElement(address, run));
      for (const port of others) push(setOf(isAny(port.hostAddress) ? "published-any" : "published", family), element(address, port));
      for (const { protocol, port } of directPorts(own, directRouting)) push(setOf("direct", family), { key: concatenation(Uint8Array.of(PROTOCOL_NUMBER[protocol]), ipToBytes(address), portBytes(port)) });
      if (trusting(networkId)) for (const { protocol, port } of directPorts(own, true)) push(setOf("within-trust", family), { key: concatenation(Uint8Array.of(PROTOCOL_NUMBER[protocol]), ipToBytes(address), portBytes(port)) });
    }
  }
  return [...maps].flatMap(([set, elements]) => chunks(elements).map((chunk) => ({ op, set, elements: chunk })));
}

/** What is different between what an endpoint had and what it has, in one transaction. */
export function publicationChanges(before: Publication | undefined, after: Publication, rules: PublishRules): NftChange[] {
  const has = publishedElements("addElements", [after], rules);
  if (!before) return has;
  const had = publishedElements("deleteElements", [before], rules);
  return [...without(had, has), ...without(has, had)];
}

type ElementsChange = Extract<NftChange, { op: "addElements" | "deleteElements" }>;

/** Without the elements that the others have. */
function without(changes: readonly ElementsChange[], others: readonly ElementsChange[]): NftChange[] {
  const known = new Set(others.flatMap(({ set, elements }) => elements.map((element) => textOf(set, element))));
  return changes.flatMap(({ op, set, elements }) => {
    const own = elements.filter((element) => !known.has(textOf(set, element)));
    return own.length > 0 ? [{ op, set, elements: own }] : [];
  });
}

const textOf = (set: string, { key, end, value }: NftElement): string => [set, ...[key, end, value].map((bytes) => (bytes instanceof Uint8Array ? Buffer.from(bytes).toString("hex") : ""))].join(" ");

/** Each once: several ports of the host may lead to one. */
function directPorts(ports: readonly PublishedPort[], all: boolean): PublishedPort[] {
  const reached = singles(ports.filter(({ hostPort }) => all || hostPort === 0));
  return [...new Map(reached.map((port) => [`${port.protocol}/${port.port}`, port])).values()];
}

const isAny = ({ value }: IpAddress): boolean => value === 0n;

interface PortRange {
  protocol: PortProtocol;
  first: number;
  last: number;
}

/** The same for the same ports, in whatever order and whichever of them come as one. */
export function splitRuns(ports: readonly PublishedPort[]): { runs: PortRange[]; others: PublishedPort[] } {
  const fits = ({ hostAddress, port, hostPort }: PublishedPort): boolean => isAny(hostAddress) && port === hostPort;
  const runs: PortRange[] = [];
  for (const protocol of PROTOCOLS) {
    const own = ports.filter((port) => port.protocol === protocol && fits(port)).sort((one, other) => one.hostPort - other.hostPort);
    let open: PortRange | undefined;
    for (const run of own) {
      const last = run.hostPort + countOf(run) - 1;
      if (open?.last === run.hostPort - 1) open.last = last;
      else runs.push((open = { protocol, first: run.hostPort, last }));
    }
  }
  const long = runs.filter(({ first, last }) => last - first + 1 >= MIN_RUN);
  const inRun = (port: PublishedPort): boolean => long.some(({ protocol, first, last }) => protocol === port.protocol && first <= port.hostPort && port.hostPort <= last);
  return { runs: long, others: singles(ports.filter((port) => !fits(port) || !inRun(port))) };
}

const rangeElement = (address: IpAddress, { first, last }: PortRange): NftElement => ({ key: portBytes(first), ...(last < MAX_PORT ? { end: portBytes(last + 1) } : {}), value: ipToBytes(address) });

function element(address: IpAddress, { protocol, port, hostAddress, hostPort }: PublishedPort): NftElement {
  const number = Uint8Array.of(PROTOCOL_NUMBER[protocol]);
  const value = concatenation(ipToBytes(address), portBytes(port));
  const key = isAny(hostAddress) ? concatenation(number, portBytes(hostPort)) : concatenation(number, ipToBytes(hostAddress), portBytes(hostPort));
  return { key, value };
}

function chunks(elements: readonly NftElement[]): NftElement[][] {
  return Array.from({ length: Math.ceil(elements.length / ELEMENTS_PER_CHANGE) }, (_, index) => elements.slice(index * ELEMENTS_PER_CHANGE, (index + 1) * ELEMENTS_PER_CHANGE));
}

/** Looking for flows costs a walk over all of them. */
const MAX_FLOW_PORTS = 16;

/** Those that only one of the two has. */
function changedPorts(before: readonly PublishedPort[], after: readonly PublishedPort[]): PublishedPort[] {
  const text = ({ protocol, port, hostAddress, hostPort }: PublishedPort): string => [protocol, port, hostAddress.family, hostAddress.value, hostPort].join(" ");
  const [lost, come] = [singles(before), singles(after)];
  const [had, has] = [new Set(lost.map(text)), new Set(come.map(text))];
  return [...lost.filter((port) => !has.has(text(port))), ...come.filter((port) => !had.has(text(port)))];
}

/** Flows of datagrams that began before their port was published or given back: they would go on to where they went. Those of many ports are left to run out. */
export function earlierFlows(before: readonly PublishedPort[], after: readonly PublishedPort[]): FlowFilter[] {
  const isDatagrams = ({ protocol }: PublishedPort): boolean => protocol === "udp";
  const datagrams = changedPorts(before.filter(isDatagrams), after.filter(isDatagrams));
  return datagrams.length > MAX_FLOW_PORTS ? [] : datagrams.filter(({ hostPort }) => hostPort !== 0).map(({ hostPort, hostAddress: { family } }) => ({ protocol: PROTOCOL_NUMBER.udp, port: hostPort, family }));
}

/** Flows of datagrams that an endpoint answered. */
export const answeredFlows = ({ addresses, ports }: Publication): FlowFilter[] => (ports.some(({ protocol }) => protocol === "udp") ? addresses.map((address) => ({ protocol: PROTOCOL_NUMBER.udp, answeredBy: address })) : []);

/** With those of its addresses that the other has not. */
export const withoutAddresses = ({ addresses, ...publication }: Publication, other: Publication): Publication => ({ ...publication, addresses: addresses.filter((one) => !other.addresses.some((address) => address.family === one.family && address.value === one.value)) });
