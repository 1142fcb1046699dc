/** Other addresses for a container's interface, while its programs run. */
import type { RenumberedEndpoint } from "../../core/network.ts";
import { systemError } from "../../lib/errors.ts";
import { contains, formatPrefix, parsePrefix } from "../../lib/ip.ts";
import type { IpPrefix } from "../../lib/ip.ts";
import { openNetworkKernel } from "../../sys/netlink/kernel.ts";
import type { RouteChange } from "../../sys/netlink/rtnetlink.ts";
import { addressesOf } from "./endpoint.ts";

const LINK_LOCAL = parsePrefix("fe80::/10")!;

/** Makes them be what they are to be, whatever they are: the new ones first, and at last the routes, which go with old addresses. */
export async function renumberInterface(endpoint: RenumberedEndpoint, mac: Uint8Array): Promise<void> {
  const kernel = openNetworkKernel(endpoint.sandbox.fd);
  try {
    const index = (await kernel.link(endpoint.interfaceName))?.index;
    if (index === undefined) throw systemError(`a container has no interface ${endpoint.interfaceName} any more`);
    const wanted = addressesOf(endpoint);
    const present = (await kernel.addresses()).filter((one) => one.index === index).map(({ address }) => address);
    const isAmong = (list: readonly IpPrefix[], address: IpPrefix): boolean => list.some((other) => formatPrefix(other) === formatPrefix(address));
    await kernel.apply([
      { op: "setLink", link: { index }, mac },
      ...wanted.filter((address) => !isAmong(present, address)).map((address): RouteChange => ({ op: "addAddress", index, address })),
      ...present.filter((address) => !isAmong(wanted, address) && !contains(LINK_LOCAL, address.address)).map((address): RouteChange => ({ op: "deleteAddress", index, address })),
      ...endpoint.gateways.map((gateway): RouteChange => ({ op: "addRoute", index, gateway, replace: true })),
    ]);
  } finally {
    kernel.close();
  }
}
