/**
 * Links, addresses, routes and neighbours (rtnetlink(7)): changes are plain data first, encoded when they are sent.
 * Links are named by name or index; addresses and routes need the index.
 */
import { formatIp, formatPrefix, ipToBytes, lastAddress } from "../../lib/ip.ts";
import type { IpAddress, IpPrefix } from "../../lib/ip.ts";
import { formatMac } from "../../lib/mac.ts";
import { NLM_F } from "./message.ts";
import type { MessageWriter } from "./message.ts";
import type { NetlinkRequest } from "./socket.ts";

export const RTM = { NEWLINK: 16, DELLINK: 17, GETLINK: 18, NEWADDR: 20, DELADDR: 21, GETADDR: 22, NEWROUTE: 24, DELROUTE: 25, GETROUTE: 26, NEWNEIGH: 28, DELNEIGH: 29, GETNEIGH: 30 } as const;
/** Multicast groups of NETLINK.ROUTE. */
export const RTNLGRP = { LINK: 1, IPV4_IFADDR: 5, IPV4_ROUTE: 7, IPV6_IFADDR: 9, IPV6_ROUTE: 11, IPV4_NETCONF: 24, IPV6_NETCONF: 25 } as const;

export const IFLA = { ADDRESS: 1, IFNAME: 3, MTU: 4, LINK: 5, MASTER: 10, LINKINFO: 18, AF_SPEC: 26, NET_NS_FD: 28, IFALIAS: 20, GROUP: 27 } as const;
export const IFLA_INFO = { KIND: 1, DATA: 2, SLAVE_KIND: 4, SLAVE_DATA: 5 } as const;
const VETH_INFO_PEER = 1;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IFLA_BR_FORWARD_DELAY = 1;
export const IFLA_BRPORT = { state: 1, hairpin: 4, learning: 8, flood: 9, flush: 24, multicastFlood: 27, broadcastFlood: 30, isolated: 33 } as const;
const BR_STATE_DISABLED = 0;
/** A state is another one as soon as a carrier comes; these stay. */
const DEAF = [IFLA_BRPORT.learning, IFLA_BRPORT.flood, IFLA_BRPORT.multicastFlood, IFLA_BRPORT.broadcastFlood];
export const IFA = { ADDRESS: 1, LOCAL: 2, BROADCAST: 4 } as const;
const IFA_F_NODAD = 2;
export const RTA = { DST: 1, SRC: 2, IIF: 3, OIF: 4, GATEWAY: 5, PRIORITY: 6, PREFSRC: 7, TABLE: 15 } as const;
const NDA = { DST: 1, LLADDR: 2 } as const;
const NUD_PERMANENT = 0x80;
const NUD_NOARP = 0x40;
/** Of the bridge that the link is a port of; it stays at that port. */
const NTF_MASTER = 4;
const NTF_STICKY = 0x40;
const AF_BRIDGE = 7;
export const IFF_UP = 1;
export const IFF_RUNNING = 0x40;
const AF = { 4: 2, 6: 10 } as const;
const RT_TABLE_MAIN = 254;
const RT_TABLE_LOCAL = 255;
const RTPROT_STATIC = 4;
const RTN_UNICAST = 1;
const RTN_LOCAL = 2;
const SCOPE = { global: 0, link: 253, host: 254 } as const;

export type LinkReference = { name: string } | { index: number };

/** Kinds of links, with the kernel's numbers of their modes. */
export type LinkData = { kind: "dummy" } | { kind: "vlan"; id: number } | { kind: "macvlan"; mode: number } | { kind: "ipvlan"; mode: number; flags: number };

export interface PortSettings {
  hairpin?: boolean;
  isolated?: boolean;
  /** The bridge sends nothing there, and forgets whom it found there. */
  blocked?: true;
}

const NO_BYTES = new Uint8Array();

export type RouteChange =
  | { op: "addBridge"; name: string; mac?: Uint8Array; mtu?: number }
  /** A link above `parent`, born in the namespace of `netns`; absent: here. */
  | { op: "addLink"; name: string; data: LinkData; index?: number; parent?: number; netns?: number; mac?: Uint8Array; mtu?: number }
  /** `peer` is born in the namespace of `netns`, down (IFF_UP for it fails with ENOTCONN), with an index that the kernel chooses. */
  | { op: "addVeth"; name: string; index?: number; mac?: Uint8Array; mtu: number; peer: { netns: number; name: string } }
  | { op: "setLink"; link: LinkReference; up?: boolean; mac?: Uint8Array; mtu?: number; master?: number; alias?: string; /** No IPv6 link-local address is made when it goes up. */ noLinkLocal?: boolean; /** As a port of a bridge. */ port?: PortSettings; /** Links of a group can be deleted together. */ group?: number }
  | { op: "deleteLink"; link: LinkReference }
  | { op: "deleteGroup"; group: number }
  /** Into the namespace of `netns`, with a name for there; it arrives down and without addresses. */
  | { op: "moveLink"; link: LinkReference; netns: number; name: string }
  | { op: "addAddress"; index: number; address: IpPrefix }
  | { op: "deleteAddress"; index: number; address: IpPrefix }
  /** Without a destination: the default route. `local`: packets for it are this machine's own, come in where they may. */
  | { op: "addRoute"; index: number; destination?: IpPrefix; gateway?: IpAddress; metric?: number; replace?: boolean; local?: boolean }
  | { op: "deleteRoute"; index: number; destination: IpPrefix }
  | { op: "addNeighbour"; index: number; address: IpAddress; mac: Uint8Array }
  /** The bridge's frames for that hardware address go to the port, whatever frames from there it sees elsewhere. */
  | { op: "addForwarding"; port: number; mac: Uint8Array };

/** What is done, for errors and for `--dry-run`. */
export function describe(change: RouteChange): string {
  switch (change.op) {
    case "addBridge":
      return `add bridge ${change.name}`;
    case "addLink":
      return `add ${change.data.kind} ${change.name}`;
    case "addVeth":
      return `add veth ${change.name} with peer ${change.peer.name}`;
    case "setLink":
      return `set link ${linkText(change.link)}`;
    case "deleteLink":
      return `delete link ${linkText(change.link)}`;
    case "deleteGroup":
      return `delete links of group ${change.group}`;
    case "moveLink":
      return `move link ${linkText(change.link)} into another namespace as ${change.name}`;
    case "addAddress":
      return `add address ${formatPrefix(change.address)} to link ${change.index}`;
    case "deleteAddress":
      return `delete address ${formatPrefix(change.address)} of link ${change.index}`;
    case "addRoute":
      return `add route to ${change.destination ? formatPrefix(change.destination) : "default"}${change.gateway ? ` via ${formatIp(change.gateway)}` : ""}`;
    case "deleteRoute":
      return `delete route to ${formatPrefix(change.destination)}`;
    case "addNeighbour":
      return `add neighbour ${formatIp(change.address)} at ${formatMac(change.mac)}`;
    case "addForwarding":
      return `forward ${formatMac(change.mac)} to link ${change.port}`;
  }
}

const linkText = (link: LinkReference): string => ("name" in link ? link.name : String(link.index));

export function encodeRouteChange(change: RouteChange): NetlinkRequest {
  const [type, flags, write] = encodings(change);
  return { what: describe(change), type, flags: flags | NLM_F.ACK, write };
}

type Encoding = [type: number, flags: number, write: (writer: MessageWriter) => void];
const CREATE = NLM_F.CREATE | NLM_F.EXCL;

function encodings(change: RouteChange): Encoding {
  switch (change.op) {
    case "addBridge":
      return [RTM.NEWLINK, CREATE, (writer) => writeBridge(writer, change)];
    case "addLink":
      return [RTM.NEWLINK, CREATE, (writer) => writeNewLink(writer, change)];
    case "addVeth":
      return [RTM.NEWLINK, CREATE, (writer) => writeVeth(writer, change)];
    case "setLink":
      return [RTM.NEWLINK, 0, (writer) => writeLink(writer, change)];
    case "deleteLink":
      return [RTM.DELLINK, 0, (writer) => writeReference(writer, change.link)];
    case "deleteGroup":
      return [RTM.DELLINK, 0, (writer) => writeGroup(writer, change.group)];
    case "moveLink":
      return [RTM.NEWLINK, 0, (writer) => writeMove(writer, change)];
    case "addAddress":
      return [RTM.NEWADDR, CREATE, (writer) => writeAddress(writer, change)];
    case "deleteAddress":
      return [RTM.DELADDR, 0, (writer) => writeAddress(writer, change)];
    case "addRoute":
      return [RTM.NEWROUTE, NLM_F.CREATE | (change.replace ? NLM_F.REPLACE : NLM_F.EXCL), (writer) => writeRoute(writer, change)];
    case "deleteRoute":
      return [RTM.DELROUTE, 0, (writer) => writeRoute(writer, change)];
    case "addNeighbour":
      return [RTM.NEWNEIGH, NLM_F.CREATE | NLM_F.REPLACE, (writer) => writeNeighbour(writer, change)];
    case "addForwarding":
      return [RTM.NEWNEIGH, NLM_F.CREATE | NLM_F.REPLACE, (writer) => writeForwarding(writer, change)];
  }
}

type Change<Op extends RouteChange["op"]> = Extract<RouteChange, { op: Op }>;

/** struct ifinfomsg. */
function ifinfo(writer: MessageWriter, options: { index?: number; flags?: number; change?: number }): MessageWriter {
  return writer.u8(0).u8(0).u16(0).u32(options.index ?? 0).u32(options.flags ?? 0).u32(options.change ?? 0);
}

function writeReference(writer: MessageWriter, link: LinkReference, flags: { flags?: number; change?: number } = {}): void {
  ifinfo(writer, { ...flags, index: "index" in link ? link.index : 0 });
  if ("name" in link) writer.attributeString(IFLA.IFNAME, link.name);
}

function writeBridge(writer: MessageWriter, change: Change<"addBridge">): void {
  ifinfo(writer, {});
  writer.attributeString(IFLA.IFNAME, change.name);
  if (change.mac) writer.attributeBytes(IFLA.ADDRESS, change.mac);
  if (change.mtu) writer.attributeU32(IFLA.MTU, change.mtu);
  writer.nested(IFLA.LINKINFO, () => {
    writer.attributeString(IFLA_INFO.KIND, "bridge");
    writer.nested(IFLA_INFO.DATA, () => writer.attributeU32(IFLA_BR_FORWARD_DELAY, 0));
  });
}

function writeNewLink(writer: MessageWriter, { name, data, index, parent, netns, mac, mtu }: Change<"addLink">): void {
  ifinfo(writer, index === undefined ? {} : { index });
  writer.attributeString(IFLA.IFNAME, name);
  if (mac) writer.attributeBytes(IFLA.ADDRESS, mac);
  if (mtu) writer.attributeU32(IFLA.MTU, mtu);
  if (parent !== undefined) writer.attributeU32(IFLA.LINK, parent);
  if (netns !== undefined) writer.attributeU32(IFLA.NET_NS_FD, netns);
  writer.nested(IFLA.LINKINFO, () => {
    writer.attributeString(IFLA_INFO.KIND, data.kind);
    if (data.kind !== "dummy") writer.nested(IFLA_INFO.DATA, () => writeLinkData(writer, data));
  });
}

function writeLinkData(writer: MessageWriter, data: Exclude<LinkData, { kind: "dummy" }>): void {
  switch (data.kind) {
    case "vlan":
      writer.attribute(1, () => writer.u16(data.id));
      return;
    case "macvlan":
      writer.attributeU32(1, data.mode);
      return;
    case "ipvlan":
      writer.attribute(1, () => writer.u16(data.mode)).attribute(2, () => writer.u16(data.flags));
  }
}

function writeVeth(writer: MessageWriter, change: Change<"addVeth">): void {
  ifinfo(writer, change.index === undefined ? {} : { index: change.index });
  writer.attributeString(IFLA.IFNAME, change.name).attributeU32(IFLA.MTU, change.mtu);
  if (change.mac) writer.attributeBytes(IFLA.ADDRESS, change.mac);
  writer.nested(IFLA.LINKINFO, () => {
    writer.attributeString(IFLA_INFO.KIND, "veth");
    writer.nested(IFLA_INFO.DATA, () => writer.nested(VETH_INFO_PEER, () => writePeer(writer, change)));
  });
}

function writePeer(writer: MessageWriter, change: Change<"addVeth">): void {
  ifinfo(writer, {});
  writer.attributeString(IFLA.IFNAME, change.peer.name).attributeU32(IFLA.MTU, change.mtu);
  writer.attributeU32(IFLA.NET_NS_FD, change.peer.netns);
}

function writeLink(writer: MessageWriter, change: Change<"setLink">): void {
  writeReference(writer, change.link, change.up === undefined ? {} : { flags: change.up ? IFF_UP : 0, change: IFF_UP });
  if (change.mac) writer.attributeBytes(IFLA.ADDRESS, change.mac);
  if (change.mtu !== undefined) writer.attributeU32(IFLA.MTU, change.mtu);
  if (change.master !== undefined) writer.attributeU32(IFLA.MASTER, change.master);
  if (change.alias !== undefined) writer.attributeString(IFLA.IFALIAS, change.alias);
  if (change.group !== undefined) writer.attributeU32(IFLA.GROUP, change.group);
  if (change.port) writePort(writer, change.port);
  if (change.noLinkLocal) writer.nested(IFLA.AF_SPEC, () => writer.nested(AF[6], () => writer.attributeU8(IFLA_INET6_ADDR_GEN_MODE, 1)));
}

function writeGroup(writer: MessageWriter, group: number): void {
  ifinfo(writer, {});
  writer.attributeU32(IFLA.GROUP, group);
}

function writeMove(writer: MessageWriter, { link, netns, name }: Change<"moveLink">): void {
  ifinfo(writer, "index" in link ? { index: link.index } : {});
  writer.attributeString(IFLA.IFNAME, name).attributeU32(IFLA.NET_NS_FD, netns);
}

function writePort(writer: MessageWriter, port: PortSettings): void {
  writer.nested(IFLA.LINKINFO, () => {
    writer.attributeString(IFLA_INFO.SLAVE_KIND, "bridge");
    writer.nested(IFLA_INFO.SLAVE_DATA, () => {
      if (port.hairpin !== undefined) writer.attributeU8(IFLA_BRPORT.hairpin, port.hairpin ? 1 : 0);
      if (port.blocked === true) {
        for (const flag of DEAF) writer.attributeU8(flag, 0);
        writer.attributeU8(IFLA_BRPORT.state, BR_STATE_DISABLED).attributeBytes(IFLA_BRPORT.flush, NO_BYTES);
      }
      if (port.isolated !== undefined) writer.attributeU8(IFLA_BRPORT.isolated, port.isolated ? 1 : 0);
    });
  });
}

/** struct ifaddrmsg. IPv6 addresses are used at once, not seconds later when nobody else was found to have them. */
function writeAddress(writer: MessageWriter, change: { index: number; address: IpPrefix }): void {
  const { address, length } = change.address;
  writer.u8(AF[address.family]).u8(length).u8(address.family === 6 ? IFA_F_NODAD : 0).u8(SCOPE.global).u32(change.index);
  writer.attributeBytes(IFA.LOCAL, ipToBytes(address)).attributeBytes(IFA.ADDRESS, ipToBytes(address));
  if (address.family === 4 && length < 31) writer.attributeBytes(IFA.BROADCAST, ipToBytes(lastAddress(change.address)));
}

/** struct rtmsg. */
function writeRoute(writer: MessageWriter, change: { index: number; destination?: IpPrefix; gateway?: IpAddress; metric?: number; local?: boolean }): void {
  const family = (change.destination?.address ?? change.gateway)?.family ?? 4;
  const [table, scope, type] = change.local ? [RT_TABLE_LOCAL, SCOPE.host, RTN_LOCAL] : [RT_TABLE_MAIN, change.gateway ? SCOPE.global : SCOPE.link, RTN_UNICAST];
  writer.u8(AF[family]).u8(change.destination?.length ?? 0).u8(0).u8(0).u8(table).u8(RTPROT_STATIC).u8(scope).u8(type).u32(0);
  if (change.destination) writer.attributeBytes(RTA.DST, ipToBytes(change.destination.address));
  if (change.gateway) writer.attributeBytes(RTA.GATEWAY, ipToBytes(change.gateway));
  if (change.metric !== undefined) writer.attributeU32(RTA.PRIORITY, change.metric);
  writer.attributeU32(RTA.OIF, change.index);
}

/** struct ndmsg. */
function writeNeighbour(writer: MessageWriter, change: Change<"addNeighbour">): void {
  writer.u8(AF[change.address.family]).u8(0).u16(0).u32(change.index).u16(NUD_PERMANENT).u8(0).u8(0);
  writer.attributeBytes(NDA.DST, ipToBytes(change.address)).attributeBytes(NDA.LLADDR, change.mac);
}

function writeForwarding(writer: MessageWriter, { port, mac }: Change<"addForwarding">): void {
  writer.u8(AF_BRIDGE).u8(0).u16(0).u32(port).u16(NUD_NOARP).u8(NTF_MASTER | NTF_STICKY).u8(0);
  writer.attributeBytes(NDA.LLADDR, mac);
}

const DUMP_OF = { links: RTM.GETLINK, addresses: RTM.GETADDR, routes: RTM.GETROUTE, neighbours: RTM.GETNEIGH } as const;

/** Asks for all of a kind; the answers are decoded by link.ts's decoders. */
export function dumpRequest(kind: keyof typeof DUMP_OF): NetlinkRequest {
  const fixed = { links: 16, addresses: 8, routes: 12, neighbours: 12 }[kind];
  return { what: `list ${kind}`, type: DUMP_OF[kind], flags: NLM_F.DUMP, write: (writer) => writer.bytes(new Uint8Array(fixed)) };
}

/** Asks for one link. */
export function linkRequest(link: LinkReference): NetlinkRequest {
  return { what: `find link ${linkText(link)}`, type: RTM.GETLINK, flags: 0, write: (writer) => writeReference(writer, link) };
}

/** Which way packets for an address go. */
export interface RouteQuery {
  to: IpAddress;
  from?: IpAddress;
  /** The link that they come in by; absent: they are the machine's own. */
  index?: number;
}

export function routeRequest({ to, from, index }: RouteQuery): NetlinkRequest {
  const bits = to.family === 4 ? 32 : 128;
  return {
    what: `find the route to ${formatIp(to)}`,
    type: RTM.GETROUTE,
    flags: 0,
    write: (writer) => {
      writer.u8(AF[to.family]).u8(bits).u8(from ? bits : 0).u8(0).u8(0).u8(0).u8(0).u8(0).u32(0);
      writer.attributeBytes(RTA.DST, ipToBytes(to));
      if (from) writer.attributeBytes(RTA.SRC, ipToBytes(from));
      if (index !== undefined) writer.attributeU32(RTA.IIF, index);
    },
  };
}
