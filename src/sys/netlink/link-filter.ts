/**
 * A filter of the kernel's messages about links: a start makes a dozen of them, and only losses are wanted. The kernel sends each
 * message in a datagram of its own: struct nlmsghdr, then struct ifinfomsg.
 */
import { DROP, IF_ANY, IF_EQUAL, LOAD_BYTE, LOAD_HALF, TAKE, packetFilter, swapped16 } from "./packet-filter.ts";
import { RTM } from "./rtnetlink.ts";

const [TYPE_AT, FLAGS_AT, CHANGE_AT] = [4, 24, 28];
const IFF_UP = 1;

/** Links that are gone, ports that their bridge lost, and what was switched off. */
export const LOST_LINKS = packetFilter([
  [LOAD_HALF, 0, 0, TYPE_AT],
  [IF_EQUAL, 7, 0, swapped16(RTM.DELLINK)],
  [IF_EQUAL, 0, 7, swapped16(RTM.NEWLINK)],
  [LOAD_BYTE, 0, 0, FLAGS_AT],
  [IF_ANY, 5, 0, IFF_UP],
  [LOAD_BYTE, 0, 0, CHANGE_AT],
  [IF_ANY, 0, 3, IFF_UP],
  // A new link has all bits set.
  [LOAD_BYTE, 0, 0, CHANGE_AT + 3],
  [IF_EQUAL, 0, 1, 0],
  TAKE,
  DROP,
]);
