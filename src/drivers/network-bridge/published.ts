/**
 * Published ports as elements of the firewall's maps: one hash element each, whose cost does not grow with their number. Long
 * runs of ports that keep their numbers, at every address, are one element of a map of ranges.
 */
import type { PortProtocol, PublishedPort } from "../../core/network-ports.ts";
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
  const [had, has] = [publishedElements("deleteElements", before ? [before] : [], rules), publishedElements("addElements", [after], rules)];
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
  const reached = ports.filter(({ hostPort }) => all || hostPort === 0);
  return [...new Map(reached.map((port) => [`${port.protocol}/${port.port}`, port])).values()];
}

const isAny = ({ value }: IpAddress): boolean => value === 0n;

export interface PortRun {
  protocol: PortProtocol;
  first: number;
  last: number;
}

/** The same for the same ports, in whatever order. */
export function splitRuns(ports: readonly PublishedPort[]): { runs: PortRun[]; others: PublishedPort[] } {
  const fits = ({ hostAddress, port, hostPort }: PublishedPort): boolean => isAny(hostAddress) && port === hostPort;
  const runs: PortRun[] = [];
  for (const protocol of PROTOCOLS) {
    const numbers = ports.flatMap((port) => (port.protocol === protocol && fits(port) ? [port.hostPort] : [])).sort((one, other) => one - other);
    let first = 0;
    for (let next = 1; next <= numbers.length; next++) {
      if (next < numbers.length && numbers[next] === numbers[next - 1]! + 1) continue;
      if (next - first >= MIN_RUN) runs.push({ protocol, first: numbers[first]!, last: numbers[next - 1]! });
      first = next;
    }
  }
  const inRun = (port: PublishedPort): boolean => runs.some(({ protocol, first, last }) => protocol === port.protocol && first <= port.hostPort && port.hostPort <= last);
  return { runs, others: runs.length === 0 ? [...ports] : ports.filter((port) => !fits(port) || !inRun(port)) };
}

const rangeElement = (address: IpAddress, { first, last }: PortRun): NftElement => ({ key: portBytes(first), ...(last < MAX_PORT ? { end: portBytes(last + 1) } : {}), value: ipToBytes(address) });

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
export function changedPorts(before: readonly PublishedPort[], after: readonly PublishedPort[]): PublishedPort[] {
  const text = ({ protocol, port, hostAddress, hostPort }: PublishedPort): string => [protocol, port, hostAddress.family, hostAddress.value, hostPort].join(" ");
  const [had, has] = [new Set(before.map(text)), new Set(after.map(text))];
  return [...before.filter((port) => !has.has(text(port))), ...after.filter((port) => !had.has(text(port)))];
}

/** Flows of datagrams that began before their port was published: they would go on to where they went. Those of many ports are left to run out. */
export function earlierFlows(ports: readonly PublishedPort[]): FlowFilter[] {
  const datagrams = ports.filter(({ protocol }) => protocol === "udp");
  return datagrams.length > MAX_FLOW_PORTS ? [] : datagrams.filter(({ hostPort }) => hostPort !== 0).map(({ hostPort, hostAddress: { family } }) => ({ protocol: PROTOCOL_NUMBER.udp, port: hostPort, family }));
}

/** Flows of datagrams that an endpoint answered. */
export const answeredFlows = ({ addresses, ports }: Publication): FlowFilter[] => (ports.some(({ protocol }) => protocol === "udp") ? addresses.map((address) => ({ protocol: PROTOCOL_NUMBER.udp, answeredBy: address })) : []);

/** With those of its addresses that the other has not. */
export const withoutAddresses = ({ addresses, ...publication }: Publication, other: Publication): Publication => ({ ...publication, addresses: addresses.filter((one) => !other.addresses.some((address) => address.family === one.family && address.value === one.value)) });
