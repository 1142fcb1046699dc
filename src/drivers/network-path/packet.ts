/** The packet whose way is looked for, and what rules read of it: values that are not settled are undefined, and match maybe. */
import { ipToBytes } from "../../lib/ip.ts";
import type { IpAddress } from "../../lib/ip.ts";
import { hostWord } from "../../sys/netlink/nftables-expression.ts";

export interface Packet {
  source: IpAddress | undefined;
  destination: IpAddress;
  protocol: "tcp" | "udp" | "icmp";
  port: number | undefined;
  /** Interfaces of the namespace that it is in; "" for none. */
  in: LinkRef;
  out: LinkRef;
  mark: number;
  /** Its destination was changed. */
  redirected: boolean;
  /** The destination is the machine's own. */
  local: boolean;
  /** Of the sender's interface, in frames. */
  mac?: Uint8Array;
}

export interface LinkRef {
  name: string;
  index: number;
}

export const NO_LINK: LinkRef = { name: "", index: 0 };

const PROTOCOL = { tcp: 6, udp: 17 } as const;
const ETHERTYPE = { 4: Uint8Array.of(0x08, 0x00), 6: Uint8Array.of(0x86, 0xdd) } as const;
const NFPROTO = { 4: 2, 6: 10 } as const;
const IFNAME = 16;

export const protocolNumber = ({ protocol, destination: { family } }: Packet): number => (protocol === "icmp" ? (family === 4 ? 1 : 58) : PROTOCOL[protocol]);

/** By the kernel's numbers of nft_meta_keys. */
export function metaOf(packet: Packet, key: number): Uint8Array | undefined {
  switch (key) {
    case 1:
      return ETHERTYPE[packet.destination.family];
    case 3:
      return hostWord(packet.mark);
    case 4:
      return hostWord(packet.in.index);
    case 5:
      return hostWord(packet.out.index);
    case 6:
      return nameBytes(packet.in.name);
    case 7:
      return nameBytes(packet.out.name);
    case 15:
      return Uint8Array.of(NFPROTO[packet.destination.family]);
    case 16:
      return Uint8Array.of(protocolNumber(packet));
    default:
      return undefined;
  }
}

const nameBytes = (name: string): Uint8Array => Buffer.concat([Buffer.from(name)], IFNAME);

/** By the kernel's numbers of nft_ct_keys: it begins a connection. */
export function connectionOf(packet: Packet, key: number): Uint8Array | undefined {
  const NEW = 8;
  const DNAT = 32;
  if (key === 0) return hostWord(NEW);
  if (key === 1) return Uint8Array.of(0);
  if (key === 2) return hostWord(packet.redirected ? DNAT : 0);
  return key === 3 ? hostWord(0) : undefined;
}

type Field = [offset: number, bytes: Uint8Array | undefined];

/** Bytes of a header: base 0 is the frame's, 1 the network's, 2 the transport's. */
export function payloadOf(packet: Packet, base: number, offset: number, length: number): Uint8Array | undefined {
  const found = fieldsOf(packet, base).find(([at, bytes]) => bytes && at <= offset && offset + length <= at + bytes.length);
  return found && found[1]!.subarray(offset - found[0], offset - found[0] + length);
}

function fieldsOf(packet: Packet, base: number): Field[] {
  const { family } = packet.destination;
  const source = packet.source && ipToBytes(packet.source);
  const destination = ipToBytes(packet.destination);
  if (base === 0) return [[6, packet.mac], [12, ETHERTYPE[family]]];
  if (base === 1 && family === 4) return [[9, Uint8Array.of(protocolNumber(packet))], [12, source], [16, destination]];
  if (base === 1) return [[6, Uint8Array.of(protocolNumber(packet))], [8, source], [24, destination]];
  if (packet.protocol === "icmp") return [[0, Uint8Array.of(family === 4 ? 8 : 128, 0)]];
  const SYN = 2;
  return [[2, Uint8Array.of(packet.port! >> 8, packet.port! & 255)], ...(packet.protocol === "tcp" ? [[13, Uint8Array.of(SYN)] as Field] : [])];
}
