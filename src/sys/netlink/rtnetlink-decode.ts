/** What the kernel says about links, addresses, routes and neighbours, as values. */
import { ipFromBytes } from "../../lib/ip.ts";
import type { IpAddress, IpFamily, IpPrefix } from "../../lib/ip.ts";
import { attributeText, parseAttributes } from "./message.ts";
import type { NetlinkMessage } from "./message.ts";
import { IFA, IFF_RUNNING, IFF_UP, IFLA, IFLA_BRPORT, IFLA_INFO, RTA, RTM } from "./rtnetlink.ts";

const IFA_F_PERMANENT = 0x80;

export interface Link {
  index: number;
  name: string;
  up: boolean;
  /** The kernel has noticed that it is up, and has a carrier. */
  running: boolean;
  mac: Uint8Array;
  mtu: number;
  /** 0: none. */
  master: number;
  /** The other end of a veth, or the parent, in whatever namespace. */
  peer?: number;
  /** As a port of a bridge: frames go to no other such port. */
  isolated?: true;
  /** "bridge", "veth", ...; "" for a device without one. */
  kind: string;
  alias: string;
}

export interface LinkAddress {
  index: number;
  address: IpPrefix;
  /** It has a lifetime, as what DHCP and router advertisements give. */
  temporary?: true;
  /** It means something on the link or the machine alone. */
  local?: true;
}

export interface Route {
  family: IpFamily;
  /** Absent: the default route. */
  destination?: IpPrefix;
  gateway?: IpAddress;
  /** The machine's own address for it. */
  source?: IpAddress;
  /** The outgoing link; 0 for several or none. */
  index: number;
  table: number;
  /** rtm_type: 1 is unicast. */
  type: number;
}

export interface Neighbour {
  index: number;
  address: IpAddress;
  mac: Uint8Array;
  state: number;
}

/** undefined for other messages. */
export function decodeLink(message: NetlinkMessage): Link | undefined {
  if ((message.type !== RTM.NEWLINK && message.type !== RTM.DELLINK) || message.payload.length < 16) return undefined;
  const attributes = parseAttributes(message.payload, 16);
  const info = attributes.get(IFLA.LINKINFO);
  const peer = attributes.get(IFLA.LINK);
  const port = info && parseAttributes(parseAttributes(info).get(IFLA_INFO.SLAVE_DATA) ?? Buffer.alloc(0)).get(IFLA_BRPORT.isolated);
  return {
    index: message.payload.readInt32LE(4),
    name: attributeText(attributes.get(IFLA.IFNAME)),
    up: (message.payload.readUInt32LE(8) & IFF_UP) !== 0,
    running: (message.payload.readUInt32LE(8) & IFF_RUNNING) !== 0,
    mac: Uint8Array.from(attributes.get(IFLA.ADDRESS) ?? []),
    mtu: attributes.get(IFLA.MTU)?.readUInt32LE(0) ?? 0,
    master: attributes.get(IFLA.MASTER)?.readUInt32LE(0) ?? 0,
    ...(peer ? { peer: peer.readUInt32LE(0) } : {}),
    ...(port?.[0] === 1 ? { isolated: true as const } : {}),
    kind: info ? attributeText(parseAttributes(info).get(IFLA_INFO.KIND)) : "",
    alias: attributeText(attributes.get(IFLA.IFALIAS)),
  };
}

export function decodeAddress(message: NetlinkMessage): LinkAddress | undefined {
  if (message.type !== RTM.NEWADDR || message.payload.length < 8) return undefined;
  const attributes = parseAttributes(message.payload, 8);
  const address = attributes.get(IFA.LOCAL) ?? attributes.get(IFA.ADDRESS);
  if (!address) return undefined;
  const [, length = 0, flags = 0, scope = 0] = message.payload;
  return { index: message.payload.readUInt32LE(4), address: { address: ipFromBytes(address), length }, ...((flags & IFA_F_PERMANENT) === 0 && { temporary: true }), ...(scope !== 0 && { local: true }) };
}

/** Also one that is gone. */
export function decodeRoute(message: NetlinkMessage): Route | undefined {
  if ((message.type !== RTM.NEWROUTE && message.type !== RTM.DELROUTE) || message.payload.length < 12) return undefined;
  const family = familyOf(message.payload[0]!);
  if (!family) return undefined;
  const attributes = parseAttributes(message.payload, 12);
  const destination = attributes.get(RTA.DST);
  const gateway = attributes.get(RTA.GATEWAY);
  const source = attributes.get(RTA.PREFSRC);
  return {
    family,
    ...(destination ? { destination: { address: ipFromBytes(destination), length: message.payload[1]! } } : {}),
    ...(gateway ? { gateway: ipFromBytes(gateway) } : {}),
    ...(source ? { source: ipFromBytes(source) } : {}),
    index: attributes.get(RTA.OIF)?.readUInt32LE(0) ?? 0,
    table: attributes.get(RTA.TABLE)?.readUInt32LE(0) ?? message.payload[4]!,
    type: message.payload[7]!,
  };
}

export function decodeNeighbour(message: NetlinkMessage): Neighbour | undefined {
  if (message.type !== RTM.NEWNEIGH || message.payload.length < 12 || !familyOf(message.payload[0]!)) return undefined;
  const attributes = parseAttributes(message.payload, 12);
  const address = attributes.get(1);
  if (!address) return undefined;
  return { index: message.payload.readInt32LE(4), address: ipFromBytes(address), mac: Uint8Array.from(attributes.get(2) ?? []), state: message.payload.readUInt16LE(8) };
}

const familyOf = (value: number): IpFamily | undefined => (value === 2 ? 4 : value === 10 ? 6 : undefined);
