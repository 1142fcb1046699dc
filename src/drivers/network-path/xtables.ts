/** Matches of iptables that rules ask the kernel's older code for (iptables-nft, ufw). What is not understood here is undefined. */
import type { IpAddress } from "../../lib/ip.ts";
import { attributeText, parseAttributes } from "../../sys/netlink/message.ts";
import type { Packet } from "./packet.ts";

const NEW = 8;
const STATE_ALONE = 1;
const ADDRESS_TYPE = { unicast: 1 << 1, local: 1 << 2 } as const;

/** The name of a match or target, and its own data. */
export function extensionOf(data: Buffer): { name: string; info: Buffer } {
  const attributes = parseAttributes(data);
  return { name: attributeText(attributes.get(1)), info: attributes.get(3) ?? Buffer.alloc(0) };
}

export function matches(data: Buffer, packet: Packet): boolean | undefined {
  const { name, info } = extensionOf(data);
  switch (name) {
    case "comment":
      return true;
    case "conntrack":
      return conntrack(info);
    case "state":
      return info.length < 4 ? undefined : (info.readUInt32LE(0) & NEW) !== 0;
    case "tcp":
    case "udp":
      return ports(name, info, packet);
    case "mark":
      return info.length < 9 ? undefined : ((packet.mark & info.readUInt32LE(4)) >>> 0 === info.readUInt32LE(0)) !== (info[8] !== 0);
    case "addrtype":
      return addressType(info, packet);
    default:
      return undefined;
  }
}

/** struct xt_conntrack_mtinfo3, where states are all that it asks for. */
function conntrack(info: Buffer): boolean | undefined {
  if (info.length < 152 || info.readUInt16LE(146) !== STATE_ALONE) return undefined;
  return ((info.readUInt16LE(150) & NEW) !== 0) !== ((info.readUInt16LE(148) & STATE_ALONE) !== 0);
}

/** struct xt_tcp and xt_udp: two ranges of ports, and for TCP options and flags. */
function ports(name: "tcp" | "udp", info: Buffer, packet: Packet): boolean | undefined {
  if (packet.protocol !== name) return false;
  if (info.length < 9) return undefined;
  const [sourceFirst, sourceLast, first, last] = [0, 2, 4, 6].map((at) => info.readUInt16LE(at));
  const inverted = info[name === "tcp" ? 11 : 8]!;
  if (sourceFirst !== 0 || sourceLast !== 65_535 || (name === "tcp" && (info[8] !== 0 || info[9] !== 0))) return undefined;
  return (first! <= packet.port! && packet.port! <= last!) !== ((inverted & 2) !== 0);
}

/** struct xt_addrtype_info_v1, for the destination. */
function addressType(info: Buffer, packet: Packet): boolean | undefined {
  if (info.length < 8 || info.readUInt16LE(0) !== 0) return undefined;
  const wanted = info.readUInt16LE(2);
  const own = isGroup(packet.destination) ? undefined : packet.local ? ADDRESS_TYPE.local : ADDRESS_TYPE.unicast;
  return own === undefined ? undefined : ((wanted & own) !== 0) !== ((info.readUInt32LE(4) & 2) !== 0);
}

const isGroup = ({ family, value }: IpAddress): boolean => (family === 4 ? value >> 28n >= 14n : value >> 120n === 0xffn);
