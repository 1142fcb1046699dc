/** Beginnings of packets that "log" rules of a group send here (nfnetlink_log). */
import { parseAttributes } from "./message.ts";
import type { NetlinkMessage } from "./message.ts";
import { NETLINK, answersTo, openNetlinkSocket, roundTrip, watchSocket } from "./socket.ts";
import type { NetlinkRequest, NetlinkWatch } from "./socket.ts";

const SUBSYSTEM_LOG = 4;
const MESSAGE = { PACKET: 0, CONFIG: 1 } as const;
const COMMAND_BIND = 1;
const COPY_PACKET = 2;
const PAYLOAD = 9;

/** One reader has a group at a time, in its namespace. */
export async function watchPacketLog(netns: number, group: number, bytes: number, deliver: (packet: Buffer) => void): Promise<NetlinkWatch> {
  const socket = await openNetlinkSocket(NETLINK.NETFILTER, netns);
  const requests = [
    configuration(group, (writer) => writer.attributeBytes(1, Uint8Array.of(COMMAND_BIND))),
    // Copied bytes in network order, the mode, and padding.
    configuration(group, (writer) => writer.attributeBytes(2, Buffer.of(0, 0, bytes >> 8, bytes & 255, COPY_PACKET, 0))),
    // Each at once.
    configuration(group, (writer) => writer.attributeU32be(5, 1)),
  ];
  return watchSocket(socket, [], (messages) => messages?.forEach((message) => packetOf(message, deliver)), {
    prepare: async () => void answersTo(requests, await roundTrip({ protocol: NETLINK.NETFILTER, netns: -1, socket }, requests)),
  });
}

function configuration(group: number, write: NetlinkRequest["write"]): NetlinkRequest {
  return {
    what: `read the packet log ${group}`,
    type: (SUBSYSTEM_LOG << 8) | MESSAGE.CONFIG,
    flags: 4,
    write: (writer) => {
      writer.u8(0).u8(0).u16be(group);
      write(writer);
    },
  };
}

function packetOf(message: NetlinkMessage, deliver: (packet: Buffer) => void): void {
  if (message.type !== ((SUBSYSTEM_LOG << 8) | MESSAGE.PACKET) || message.payload.length < 4) return;
  const packet = parseAttributes(message.payload, 4).get(PAYLOAD);
  if (packet) deliver(packet);
}
