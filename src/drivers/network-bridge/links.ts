/** Ports that a container reaches of another one where containers do not reach each other otherwise: elements of sets in both tables. */
import type { PortProtocol } from "../../core/network-ports.ts";
import { formatIp, ipToBytes } from "../../lib/ip.ts";
import type { IpAddress, IpFamily } from "../../lib/ip.ts";
import { concatenation, portBytes } from "../../sys/netlink/nftables.ts";
import type { NftChange, NftElement, NftType } from "../../sys/netlink/nftables.ts";
import { word } from "../../sys/netlink/nftables-expression.ts";
import type { NftExpression } from "../../sys/netlink/nftables-expression.ts";
import { FAMILIES, addressField, addressType, setOf, wordsOf } from "./firewall-family.ts";
import { PROTOCOL_NUMBER } from "./published.ts";

export interface Link {
  from: readonly IpAddress[];
  to: readonly IpAddress[];
  ports: readonly { protocol: PortProtocol; port: number }[];
}

/** Links that are open, each once; `change` carries out what that takes in a table. */
export class OpenLinks {
  readonly #links = new Map<string, Link>();
  readonly #change: (changes: NftChange[]) => Promise<void>;

  constructor(change: (changes: NftChange[]) => Promise<void>) {
    this.#change = change;
  }

  all(): Link[] {
    return [...this.#links.values()];
  }

  open = async (link: Link): Promise<void> => {
    if (this.#links.has(linkId(link))) return;
    this.#links.set(linkId(link), link);
    await this.#change(linkElements("addElements", [link]));
  };

  close = async (link: Link): Promise<void> => {
    if (this.#links.delete(linkId(link))) await this.#change(linkElements("deleteElements", [link]));
  };

  clear(): void {
    this.#links.clear();
  }
}

/** The same for the same link. */
const linkId = ({ from, to, ports }: Link): string => JSON.stringify([from.map(formatIp), to.map(formatIp), ports.map(({ protocol, port }) => `${port}/${protocol}`)]);

/** Source, destination, protocol and the destination's port. */
export const linkKey = (family: IpFamily): NftType[] => [addressType(family), addressType(family), "protocol", "port"];

/** What a packet has of it, from word 0 on; `answer`: as its answer would. */
export function linkFields(family: IpFamily, { answer = false } = {}): NftExpression[] {
  const behind = 2 * wordsOf(family);
  return [
    addressField(family, answer ? "destination" : "source", word(0)),
    addressField(family, answer ? "source" : "destination", word(wordsOf(family))),
    { expr: "meta", key: "l4proto", register: word(behind) },
    { expr: "payload", base: "transport", offset: answer ? 0 : 2, length: 2, register: word(behind + 1) },
  ];
}

export function linkElements(op: "addElements" | "deleteElements", links: readonly Link[]): NftChange[] {
  return FAMILIES.flatMap((family) => {
    const elements = links.flatMap(({ from, to, ports }) => pairs(from, to, family).flatMap(([source, destination]) => ports.map(({ protocol, port }): NftElement => ({ key: concatenation(ipToBytes(source), ipToBytes(destination), Uint8Array.of(PROTOCOL_NUMBER[protocol]), portBytes(port)) }))));
    return elements.length === 0 ? [] : [{ op, set: setOf("linked", family), elements }];
  });
}

const pairs = (from: readonly IpAddress[], to: readonly IpAddress[], family: IpFamily): [IpAddress, IpAddress][] =>
  from.filter((address) => address.family === family).flatMap((source) => to.filter((address) => address.family === family).map((destination): [IpAddress, IpAddress] => [source, destination]));
