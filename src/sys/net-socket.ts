/** Internet sockets of another network namespace. Where a socket belongs is settled when it is made; afterwards it is used as any other. */
import { ipToBytes } from "../lib/ip.ts";
import type { IpAddress } from "../lib/ip.ts";
import { addon } from "./addon.ts";

const native = addon as { netSocket(netns: number, stream: boolean, action: number, address: Uint8Array, port: number): number };

export interface SocketWish {
  /** The namespace's fd; -1 is the process's own. */
  netns: number;
  kind: "datagram" | "stream";
  /** "connect" of a stream only begins: the socket becomes writable, or fails. */
  action: "none" | "bind" | "listen" | "connect";
  /** For "none" it says the family only. */
  address: IpAddress;
  port: number;
}

const ACTIONS = ["none", "bind", "listen", "connect"];

/** The descriptor, the caller's. Throws the errno's error. */
export function netSocket({ netns, kind, action, address, port }: SocketWish): number {
  return native.netSocket(netns, kind === "stream", ACTIONS.indexOf(action), Buffer.from(ipToBytes(address)), port);
}
