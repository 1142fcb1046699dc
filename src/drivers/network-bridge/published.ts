/** Published ports as elements of the firewall's maps: one hash element each, whatever their number. */
import type { PublishedPort } from "../../core/network-ports.ts";
import { ipToBytes } from "../../lib/ip.ts";
import type { IpAddress } from "../../lib/ip.ts";
import { concatenation, portBytes } from "../../sys/netlink/nftables.ts";
import type { NftChange, NftElement } from "../../sys/netlink/nftables.ts";

/** The ports of one endpoint. */
export interface Publication {
  /** The endpoint's. */
  address: IpAddress;
  ports: readonly PublishedPort[];
}

export const PROTOCOL_NUMBER = { tcp: 6, udp: 17, sctp: 132 } as const;

/** A netlink attribute ends at 64 KB. */
const ELEMENTS_PER_CHANGE = 1000;

/** Those of a host's single address, and those of every address. */
export function publishedElements(op: "addElements" | "deleteElements", publications: readonly Publication[]): NftChange[] {
  const maps: Record<"published" | "published-any", NftElement[]> = { published: [], "published-any": [] };
  for (const { address, ports } of publications) {
    for (const port of ports) maps[isAny(port.hostAddress) ? "published-any" : "published"].push(element(address, port));
  }
  return Object.entries(maps).flatMap(([set, elements]) => chunks(elements).map((chunk): NftChange => ({ op, set, elements: chunk })));
}

const isAny = ({ value }: IpAddress): boolean => value === 0n;

function element(address: IpAddress, { protocol, port, hostAddress, hostPort }: PublishedPort): NftElement {
  const number = Uint8Array.of(PROTOCOL_NUMBER[protocol]);
  const value = concatenation(ipToBytes(address), portBytes(port));
  const key = isAny(hostAddress) ? concatenation(number, portBytes(hostPort)) : concatenation(number, ipToBytes(hostAddress), portBytes(hostPort));
  return { key, value };
}

function chunks(elements: readonly NftElement[]): NftElement[][] {
  return Array.from({ length: Math.ceil(elements.length / ELEMENTS_PER_CHANGE) }, (_, index) => elements.slice(index * ELEMENTS_PER_CHANGE, (index + 1) * ELEMENTS_PER_CHANGE));
}
