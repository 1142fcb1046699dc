/** Ports of a host, taken by sockets that are bound and never listen: other programs get EADDRINUSE. One descriptor holds all of a reservation. */
import { close as closeLater, closeSync } from "node:fs";
import { getSystemErrorName } from "node:util";
import { systemError } from "../lib/errors.ts";
import { ipToBytes } from "../lib/ip.ts";
import type { IpAddress } from "../lib/ip.ts";
import { addon } from "./addon.ts";

const native = addon as { reservePorts(netns: number, entries: Buffer): Promise<Buffer>; pickPorts(bundles: Buffer, entries: Buffer): Buffer };

/** One free port between first and last, looked for from `start` on and around. */
export interface PortWish {
  /** The IP protocol's number. */
  protocol: number;
  /** 0.0.0.0 and :: are every address of their family. */
  address: IpAddress;
  /** Every address of both families, at the same port; `address` does not count. */
  both?: boolean;
  /** With `both`: the sockets of IPv6 also are in a reservation of their own. */
  copied?: boolean;
  first: number;
  last: number;
  start: number;
  /** Not one of these but all. */
  all?: boolean;
}

export interface PortReservation {
  /** In the order of the wishes; of those for all the first. */
  ports: number[];
  /** Gives them back when the last copy of it is closed. */
  fd: number;
  /** Those that are to be copied; closed with this one at the latest. */
  copies?: PortReservation;
  close(): void;
  /** close(), on another thread: ten thousand sockets take a while. */
  end(): Promise<void>;
}

/** A port as a socket has it. */
export interface BoundPort {
  protocol: number;
  address: IpAddress;
  port: number;
}

export interface PickedPorts {
  reservation: PortReservation;
  /** Which of them were there. */
  found: boolean[];
}

/** Which wish could not be fulfilled, and why. */
export class PortRefusal extends Error {
  readonly index: number;
  /** The first port of a wish for all that is not to be had, from its first one. */
  readonly offset: number;
  /** Such as "EADDRINUSE". */
  readonly code: string;
  constructor(index: number, code: string, offset = 0) {
    super(code);
    this.index = index;
    this.offset = offset;
    this.code = code;
  }
}

const ENTRY_BYTES = 24;
/** Of a native answer: the descriptor, that of the copies, and where a wish for all failed. */
const ANSWER_HEAD = 3;
const BOUND_BYTES = 20;
const BOTH = 10;
const BOTH_COPIED = 11;

/** All or none; throws PortRefusal. `netns` is a namespace's fd, -1 the process's own. */
export async function reservePorts(netns: number, wishes: readonly PortWish[]): Promise<PortReservation> {
  let answer: Buffer;
  try {
    answer = await native.reservePorts(netns, encode(wishes));
  } catch (cause) {
    throw systemError(`cannot reserve ports: ${(cause as Error).message}`, cause);
  }
  const fd = answer.readInt32LE(0);
  const ports = Array.from({ length: answer.length / 4 - ANSWER_HEAD }, (_, index) => answer.readInt32LE(4 * (ANSWER_HEAD + index)));
  if (fd < 0) throw new PortRefusal(ports.length - 1, getSystemErrorName(ports.at(-1)!), answer.readInt32LE(8));
  const copies = answer.readInt32LE(4);
  return heldBy(fd, ports, copies < 0 ? undefined : heldBy(copies, []));
}

/** A reservation of those of the ports that others have, which stay as they are: a port is free when the last that has it is closed. */
export function pickPorts(from: readonly PortReservation[], ports: readonly BoundPort[]): PickedPorts {
  const bundles = Buffer.alloc(4 * from.length);
  from.forEach(({ fd }, index) => bundles.writeInt32LE(fd, 4 * index));
  const entries = Buffer.alloc(BOUND_BYTES * ports.length);
  ports.forEach(({ protocol, address, port }, index) => {
    const at = BOUND_BYTES * index;
    entries.writeUInt8(protocol, at);
    entries.writeUInt8(address.family, at + 1);
    entries.writeUInt16LE(port, at + 2);
    entries.set(ipToBytes(address), at + 4);
  });
  let answer: Buffer;
  try {
    answer = native.pickPorts(bundles, entries);
  } catch (cause) {
    throw systemError(`cannot look through reserved ports: ${(cause as Error).message}`, cause);
  }
  const found = ports.map((_, index) => answer.readInt32LE(4 + 4 * index) === 1);
  return { reservation: heldBy(answer.readInt32LE(0), ports.flatMap(({ port }, index) => (found[index] ? [port] : []))), found };
}

/** A reservation whose descriptor was kept elsewhere. */
export function heldBy(fd: number, ports: number[], copies?: PortReservation): PortReservation {
  let open = true;
  const close = (): void => {
    copies?.close();
    if (open) closeSync(fd);
    open = false;
  };
  const end = async (): Promise<void> => {
    const isOpen = open;
    open = false;
    await copies?.end();
    if (isOpen) await new Promise<void>((resolve) => closeLater(fd, () => resolve()));
  };
  return { ports, fd, ...(copies ? { copies } : {}), close, end };
}

function encode(wishes: readonly PortWish[]): Buffer {
  const entries = Buffer.alloc(ENTRY_BYTES * wishes.length);
  wishes.forEach(({ protocol, address, both, copied, first, last, start, all }, index) => {
    const at = ENTRY_BYTES * index;
    entries.writeUInt8(protocol, at);
    entries.writeUInt8(both ? (copied ? BOTH_COPIED : BOTH) : address.family, at + 1);
    entries.writeUInt16LE(first, at + 2);
    entries.writeUInt16LE(last, at + 4);
    // Start 0 is for all.
    entries.writeUInt16LE(all ? 0 : start, at + 6);
    if (!both) entries.set(ipToBytes(address), at + 8);
  });
  return entries;
}
