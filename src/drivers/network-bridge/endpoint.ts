/** The kernel changes of one endpoint, as data. A veth's inner end is born in the sandbox: moving it there would cost twenty times as much. */
import { hash } from "node:crypto";
import type { JoinRequest } from "../../core/network.ts";
import { ipToBytes } from "../../lib/ip.ts";
import type { IpPrefix } from "../../lib/ip.ts";
import type { SandboxPlan } from "../../sys/netlink/kernel.ts";
import type { Sysctl } from "../../sys/netlink/steps.ts";
import type { LinkReference, RouteChange } from "../../sys/netlink/rtnetlink.ts";

/** Interfaces made after this have no IPv6; loopback keeps ::1, as in Docker's containers. */
export const QUIET_IPV6: readonly Sysctl[] = [{ name: "net/ipv6/conf/default/disable_ipv6", value: "1", optional: true }];

/** For an interface with IPv6 addresses: what is announced by others is not believed, and nothing is waited for. */
function ipv6Settings(name: string, addresses: readonly IpPrefix[]): Sysctl[] {
  if (!addresses.some(({ address }) => address.family === 6)) return [];
  return [["accept_ra", "0"], ["dad_transmits", "0"], ["disable_ipv6", "0"]].map(([key, value]) => ({ name: `net/ipv6/conf/${name}/${key!}`, value: value! }));
}

/** IFNAMSIZ without the NUL. */
const MAX_NAME = 15;

/** As many digits of base 36 as there is room for: seven make two of ten thousand endpoints alike once in a thousand daemons. */
export function hostInterfaceName(prefix: string, endpointId: string): string {
  const digits = MAX_NAME - prefix.length;
  return prefix + (BigInt(`0x${endpointId.slice(0, 16)}`) % 36n ** BigInt(digits)).toString(36).padStart(digits, "0");
}

export interface InterfacePlan {
  /** The host's end. */
  hostName: string;
  hostNetns: number;
  mtu: number;
  /** The sandbox's end. */
  name: string;
  index: number;
  mac: Uint8Array;
}

/**
 * The interface, both ends up, nobody's port yet. A while later the kernel has noticed that it has a carrier, and as a port it
 * forwards at once; until then it would lose the first packets, and whoever asks for an address asks again only after a second.
 */
export function interfacePlan(plan: InterfacePlan): SandboxPlan & { outside: readonly RouteChange[] } {
  return {
    sysctls: QUIET_IPV6,
    inside: [
      { op: "addVeth", name: plan.name, index: plan.index, mac: plan.mac, mtu: plan.mtu, peer: { netns: plan.hostNetns, name: plan.hostName } },
      { op: "setLink", link: { index: plan.index }, up: true },
    ],
    outside: [{ op: "setLink", link: { name: plan.hostName }, noLinkLocal: true }, { op: "setLink", link: { name: plan.hostName }, up: true }],
  };
}

/** Makes a host's end a port of the bridge. Its flags can be set when it is one. */
export function portChanges(link: LinkReference, bridgeIndex: number, isolated: boolean): RouteChange[] {
  return [{ op: "setLink", link, master: bridgeIndex, up: true }, ...(isolated ? [{ op: "setLink" as const, link, port: { isolated: true } }] : [])];
}

/** Frames may go back out of the port that they came from: a container that uses its own published port, where the bridge calls the firewall. */
export const hairpinChange = (hostName: string): RouteChange => ({ op: "setLink", link: { name: hostName }, port: { hairpin: true } });

export const addressesOf = ({ addresses, extraAddresses = [] }: Pick<JoinRequest, "addresses" | "extraAddresses">): IpPrefix[] => [...addresses, ...extraAddresses];

const LOOPBACK6: IpPrefix = { address: { family: 6, value: 1n }, length: 128 };
/** Behind the loopback's own route. */
const LOOPBACK6_METRIC = 4096;

/** Answers of a container to ::1 come in at its bridge. */
export const loopbackRoute = (bridgeIndex: number): RouteChange => ({ op: "addRoute", index: bridgeIndex, destination: LOOPBACK6, metric: LOOPBACK6_METRIC, local: true, replace: true });

/** Sysctls of the interface. */
export const settingsOf = (request: JoinRequest): Sysctl[] => [...ipv6Settings(request.interfaceName, addressesOf(request)), ...(request.sysctls ?? [])];

/** In the sandbox: addresses and default routes. */
export function addressChanges(index: number, request: Pick<JoinRequest, "addresses" | "extraAddresses" | "gateways" | "firstRoutes">): RouteChange[] {
  const addresses = addressesOf(request).map((address): RouteChange => ({ op: "addAddress", index, address }));
  const routes = request.gateways.map((gateway): RouteChange => ({ op: "addRoute", index, gateway, replace: !request.firstRoutes?.includes(gateway.family) }));
  return [...addresses, ...routes];
}

/**
 * 02:42 and the IPv4 address, or a hash of the IPv6 one: an address that is used again has the same hardware address, so that no
 * neighbour cache in the host or in other containers is stale and nothing need be announced.
 */
export function macOf(addresses: readonly IpPrefix[], random: () => Uint8Array): Uint8Array {
  const [v4, v6] = ([4, 6] as const).map((family) => addresses.find(({ address }) => address.family === family));
  if (v4) return Uint8Array.of(0x02, 0x42, ...ipToBytes(v4.address));
  return v6 ? Uint8Array.of(0x02, ...hash("sha256", ipToBytes(v6.address), "buffer").subarray(0, 5)) : random();
}
