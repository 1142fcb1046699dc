/** One annex in the kernel: a bridge, and the veth pair between it and the network's own bridge. */
import { setTimeout as delay } from "node:timers/promises";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import type { Link } from "../../sys/netlink/rtnetlink-decode.ts";
import type { RouteChange } from "../../sys/netlink/rtnetlink.ts";
import { errnoCode } from "../../sys/netlink/socket.ts";
import { makeBridge } from "./bridge-link.ts";
import { hairpinChange, portChanges } from "./endpoint.ts";
import type { BridgePort } from "./interfaces.ts";

export interface AnnexNames {
  bridge: string;
  /** A port of the network's own bridge; its other end is the annex's. */
  link: string;
  uplink: string;
}

export interface Annex {
  names: AnnexNames;
  index: number;
}

/** How long a carrier is waited for; it takes the kernel a millisecond or two. */
const CARRIER_MS = 500;
const LOOK_MS = 1;

/** Makes it, or what is missing of it. */
export async function ensureAnnex(kernel: NetworkKernel, names: AnnexNames, { own, alias }: { own: BridgePort; alias: string }): Promise<Annex> {
  const bridge = (await kernel.link(names.bridge)) ?? (await makeBridge(kernel, names.bridge, alias));
  await kernel.writeSysctls(unreachable(names.bridge));
  if (!(await kernel.link(names.link))) await makeLink(kernel, names, own.mtu);
  await kernel.apply([
    { op: "setLink", link: { index: bridge.index }, up: true },
    ...portChanges({ name: names.uplink }, bridge.index, false),
    ...portChanges({ name: names.link }, own.bridgeIndex, own.isolated),
    // Where bridges call the firewall, a container of an annex may reach a published port of a sibling there.
    hairpinChange(names.link),
  ]);
  return { names, index: bridge.index };
}

/** As a port it forwards at once when its carrier has been noticed before. */
async function makeLink(kernel: NetworkKernel, { link, uplink }: AnnexNames, mtu: number): Promise<void> {
  const ends = [link, uplink].flatMap((name): RouteChange[] => [{ op: "setLink", link: { name }, noLinkLocal: true }, { op: "setLink", link: { name }, up: true }]);
  await kernel.apply([{ op: "addVeth", name: link, mtu, peer: { netns: kernel.netns, name: uplink } }, ...ends]);
  const deadline = performance.now() + CARRIER_MS;
  const isRunning = async (): Promise<boolean> => (await Promise.all([link, uplink].map((name) => kernel.link(name)))).every((one) => one?.running !== false);
  while (!(await isRunning()) && performance.now() < deadline) await delay(LOOK_MS);
}

/** The host does not answer for its addresses there, and forwards nothing. */
const unreachable = (bridge: string) => [
  { name: `net/ipv4/conf/${bridge}/arp_ignore`, value: "8" },
  { name: `net/ipv4/conf/${bridge}/forwarding`, value: "0" },
  { name: `net/ipv6/conf/${bridge}/disable_ipv6`, value: "1", optional: true },
];

export function isWhole({ names, index }: Annex, own: BridgePort, links: ReadonlyMap<string, Link>): boolean {
  const [bridge, link, uplink] = [links.get(names.bridge), links.get(names.link), links.get(names.uplink)];
  return bridge?.index === index && bridge.up && link?.up === true && link.master === own.bridgeIndex && uplink?.up === true && uplink.master === index;
}

/** Idempotent; bridges of others are left alone. */
export async function removeAnnex(kernel: NetworkKernel, names: AnnexNames, { alias, remove }: { alias: string; remove: (index: number) => Promise<void> }): Promise<void> {
  try {
    await kernel.apply([{ op: "deleteLink", link: { name: names.link } }]);
  } catch (error) {
    if (errnoCode(error) !== "ENODEV") throw error;
  }
  const bridge = await kernel.link(names.bridge);
  if (bridge?.alias === alias) await remove(bridge.index);
}
