/** The bridge interface: made, adopted from an earlier life of the daemon, or somebody else's that was named by the user. */
import { randomBytes } from "node:crypto";
import type { NetworkSpec } from "../../core/network.ts";
import { conflict, systemError } from "../../lib/errors.ts";
import { contains, formatPrefix } from "../../lib/ip.ts";
import type { IpFamily, IpPrefix } from "../../lib/ip.ts";
import { localMac } from "../../lib/mac.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import type { Link, LinkAddress, Route } from "../../sys/netlink/rtnetlink-decode.ts";
import type { RouteChange } from "../../sys/netlink/rtnetlink.ts";
import type { BridgeOptions } from "./options.ts";

/** What is written on our bridges as their alias, so that another daemon of the machine leaves them alone. */
export const ownerAlias = (tag: string): string => `gantry ${tag}`;

/** Makes the bridge be there, up, with the gateways of the network as its addresses. Repairs what is `present`. */
export async function ensureBridge(kernel: NetworkKernel, network: NetworkSpec, options: BridgeOptions, { alias, present }: { alias: string; present: Link | undefined }): Promise<Link> {
  let link = present;
  if (link && link.kind !== "bridge") throw conflict(`the interface ${options.bridge} exists and is ${link.kind === "" ? "a device" : `a ${link.kind}`}, not a bridge: choose another name`);
  if (!link) link = await makeBridge(kernel, options.bridge, alias);
  const ours = link.alias === alias;
  if (ours || hasIpv6(network)) await kernel.writeSysctls(ipv6Settings(options.bridge, hasIpv6(network)));
  const missing = addressChanges(link, await kernel.addresses(), { network, options, ours });
  const changes: RouteChange[] = [...missing, { op: "setLink", link: { index: link.index }, up: true }];
  if (options.mtu !== 0 && options.mtu !== link.mtu) changes.push({ op: "setLink", link: { index: link.index }, mtu: options.mtu });
  await kernel.apply(changes);
  return link;
}

export async function makeBridge(kernel: NetworkKernel, name: string, alias: string): Promise<Link> {
  await kernel.apply([
    { op: "addBridge", name, mac: localMac(randomBytes(6)) },
    { op: "setLink", link: { name }, alias, noLinkLocal: true },
  ]);
  const link = await kernel.link(name);
  if (!link) throw systemError(`the bridge ${name} vanished while it was made`);
  return link;
}

/** Links by name, and addresses. */
export interface BridgesFound {
  links: ReadonlyMap<string, Link>;
  addresses: readonly LinkAddress[];
}

export async function findBridges(kernel: NetworkKernel): Promise<BridgesFound> {
  const [links, addresses] = await Promise.all([kernel.links(), kernel.addresses()]);
  return { links: new Map(links.map((link) => [link.name, link])), addresses };
}

/** Whether the bridge is there with its gateways, as ensureBridge left it. */
export function isIntact({ links, addresses }: BridgesFound, network: NetworkSpec, { options, index }: { options: BridgeOptions; index: number }): boolean {
  const link = links.get(options.bridge);
  return link?.index === index && link.up && !addressChanges(link, addresses, { network, options, ours: false }).some(({ op }) => op === "addAddress");
}

const hasIpv6 = ({ subnets }: NetworkSpec): boolean => subnets.some(({ subnet }) => subnet.address.family === 6);

/** Without an IPv6 subnet none at all: address detection and multicast reports would be flooded to every port. Containers never tell the host its routes. */
const ipv6Settings = (bridge: string, enabled: boolean) => [
  { name: `net/ipv6/conf/${bridge}/accept_ra`, value: "0", optional: !enabled },
  { name: `net/ipv6/conf/${bridge}/disable_ipv6`, value: enabled ? "0" : "1", optional: !enabled },
];

/** The addresses that the bridge is to have: the gateways, but where a network has none. Without a link-local one it cannot ask who has an address that it forwards to. */
function wantedAddresses({ subnets }: NetworkSpec, { gatewayMode, inhibitIpv4 }: BridgeOptions): IpPrefix[] {
  const gateways = subnets.flatMap(({ subnet, gateway }) => (gateway && gatewayMode[subnet.address.family] !== "isolated" && !(inhibitIpv4 && subnet.address.family === 4) ? [{ address: gateway, length: subnet.length }] : []));
  const needsOwn = gateways.some(({ address }) => address.family === 6) && !gateways.some(({ address, length }) => length === OWN_LINK_LOCAL.length && contains(OWN_LINK_LOCAL, address));
  return needsOwn ? [...gateways, OWN_LINK_LOCAL] : gateways;
}

const KERNELS: IpPrefix = { address: { family: 6, value: 0xfe80n << 112n }, length: 64 };
const OWN_LINK_LOCAL: IpPrefix = { address: { family: 6, value: (0xfe80n << 112n) + 1n }, length: 64 };
const isKernels = ({ address }: IpPrefix): boolean => contains(KERNELS, address) && address.value !== OWN_LINK_LOCAL.address.value;

/** Adds the gateways; from a bridge of ours also removes the addresses of an earlier configuration. */
function addressChanges(link: Link, all: readonly LinkAddress[], { network, options, ours }: { network: NetworkSpec; options: BridgeOptions; ours: boolean }): RouteChange[] {
  const wanted = wantedAddresses(network, options);
  const present = all.filter(({ index }) => index === link.index).map(({ address }) => address);
  const isIn = (list: readonly IpPrefix[], address: IpPrefix): boolean => list.some((other) => formatPrefix(other) === formatPrefix(address));
  const missing = wanted.filter((address) => !isIn(present, address));
  const stale = ours ? present.filter((address) => !isIn(wanted, address) && !isKernels(address)) : [];
  const drop = stale.map((address): RouteChange => ({ op: "deleteAddress", index: link.index, address }));
  const add = missing.map((address): RouteChange => ({ op: "addAddress", index: link.index, address }));
  return [...drop, ...add];
}

/** The prefixes that the host routes elsewhere than to the link of that name: its own would forbid what it already has. */
export async function hostPrefixes(kernel: NetworkKernel, except?: string): Promise<IpPrefix[]> {
  const own = except === undefined ? undefined : (await kernel.link(except))?.index;
  return chosenRoutes(await kernel.routes()).filter(({ index }) => index !== own).map(({ destination }) => destination);
}

/** Those that others than the kernel itself choose among, without default routes. */
export const chosenRoutes = (routes: readonly Route[]): { destination: IpPrefix; index: number }[] => routes.flatMap(({ destination, index, table, type }) => (destination && table === MAIN_TABLE && type === UNICAST ? [{ destination, index }] : []));
const MAIN_TABLE = 254;
const UNICAST = 1;

/** The addresses of the interface of that name, by family; undefined: there is none. */
export async function bridgeAddresses(kernel: NetworkKernel, name: string): Promise<Record<IpFamily, IpPrefix[]> | undefined> {
  const link = await kernel.link(name);
  if (!link) return undefined;
  const own = (await kernel.addresses()).filter(({ index }) => index === link.index).map(({ address }) => address);
  const of = (family: IpFamily): IpPrefix[] => own.filter(({ address }) => address.family === family);
  return { 4: of(4), 6: of(6) };
}

/** docker0 unless another engine has it, then gantry0, gantry1, ... unless another daemon of ours has it. */
export async function freeBridgeName(kernel: NetworkKernel, alias: string): Promise<string> {
  for (let count = -1; ; count++) {
    const name = count < 0 ? "docker0" : `gantry${count}`;
    const link = await kernel.link(name);
    if (!link || link.alias === alias) return name;
  }
}

