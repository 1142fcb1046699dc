/**
 * A filter of the kernel's messages about links, in its own packet filter language: a start makes a dozen of them, and only losses
 * are wanted. The kernel sends each message in a datagram of its own: struct nlmsghdr, then struct ifinfomsg.
 */
import { RTM } from "./rtnetlink.ts";

const [TYPE_AT, FLAGS_AT, CHANGE_AT] = [4, 24, 28];
const IFF_UP = 1;
const [LOAD_HALF, LOAD_BYTE, IF_EQUAL, IF_ANY, RETURN] = [0x28, 0x30, 0x15, 0x45, 0x06];
const EVERYTHING = 0xffffffff;

/** Half-words are loaded as the network has them. */
const swapped = (value: number): number => ((value & 0xff) << 8) | (value >> 8);

/** [code, jump if true, jump if false, constant]: jumps skip so many. */
const PROGRAM: readonly [code: number, yes: number, no: number, constant: number][] = [
  [LOAD_HALF, 0, 0, TYPE_AT],
  [IF_EQUAL, 7, 0, swapped(RTM.DELLINK)],
  [IF_EQUAL, 0, 7, swapped(RTM.NEWLINK)],
  [LOAD_BYTE, 0, 0, FLAGS_AT],
  [IF_ANY, 5, 0, IFF_UP],
  [LOAD_BYTE, 0, 0, CHANGE_AT],
  [IF_ANY, 0, 3, IFF_UP],
  // A new link has all bits set.
  [LOAD_BYTE, 0, 0, CHANGE_AT + 3],
  [IF_EQUAL, 0, 1, 0],
  [RETURN, 0, 0, EVERYTHING],
  [RETURN, 0, 0, 0],
];

/** Links that are gone, ports that their bridge lost, and what was switched off. */
export const LOST_LINKS = Buffer.concat(PROGRAM.map(([code, yes, no, constant]) => {
  const instruction = Buffer.alloc(8);
  instruction.writeUInt16LE(code, 0);
  instruction.set([yes, no], 2);
  instruction.writeUInt32LE(constant, 4);
  return instruction;
}));
