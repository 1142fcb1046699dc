/** The kernel changes of one endpoint, as data. A veth's inner end is born in the sandbox: moving it there would cost twenty times as much. */
import type { JoinRequest } from "../../core/network.ts";
import { ipToBytes } from "../../lib/ip.ts";
import type { IpPrefix } from "../../lib/ip.ts";
import type { Sysctl } from "../../sys/netlink/netns.ts";
import type { RouteChange } from "../../sys/netlink/rtnetlink.ts";

/** Interfaces made after this have no IPv6; loopback keeps ::1, as in Docker's containers. */
export const QUIET_IPV6: readonly Sysctl[] = [{ name: "net/ipv6/conf/default/disable_ipv6", value: "1", optional: true }];

export interface VethPlan {
  hostName: string;
  bridgeIndex: number;
  mtu: number;
  netns: number;
  interfaceName: string;
  mac: Uint8Array;
  /** Frames do not go from this port to others that are isolated. */
  isolated: boolean;
}

/** In the host's namespace. addr_gen_mode has to be set before the link goes up, and cannot be given at creation. */
export function vethChanges(plan: VethPlan): RouteChange[] {
  const link = { name: plan.hostName };
  return [
    { op: "addVeth", name: plan.hostName, master: plan.bridgeIndex, mtu: plan.mtu, peer: { netns: plan.netns, name: plan.interfaceName, mac: plan.mac } },
    { op: "setLink", link, noLinkLocal: true, ...(plan.isolated ? { port: { isolated: true } } : {}) },
    { op: "setLink", link, up: true },
  ];
}

/** In the sandbox: what a prepared one has already. */
export const interfaceUp = (index: number): RouteChange[] => [{ op: "setLink", link: { index }, up: true }];

/** In the sandbox: addresses and the default route. */
export function addressChanges(index: number, request: Pick<JoinRequest, "addresses" | "gateways">): RouteChange[] {
  const addresses = request.addresses.map((address): RouteChange => ({ op: "addAddress", index, address }));
  const routes = request.gateways.slice(0, 1).map((gateway): RouteChange => ({ op: "addRoute", index, gateway }));
  return [...addresses, ...routes];
}

/**
 * 02:42 and the IPv4 address: an address that is used again has the same hardware address, so that no neighbour cache in
 * the host or in other containers is stale and nothing need be announced.
 */
export function macOf(addresses: readonly IpPrefix[], random: () => Uint8Array): Uint8Array {
  const v4 = addresses.find(({ address }) => address.family === 4);
  return v4 ? Uint8Array.of(0x02, 0x42, ...ipToBytes(v4.address)) : random();
}
