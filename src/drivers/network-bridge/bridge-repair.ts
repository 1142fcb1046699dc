/** Makes bridges that somebody deleted or changed again, and what lost them their ports. */
import type { EndpointReference, NetworkSpec } from "../../core/network.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import type { Link } from "../../sys/netlink/rtnetlink-decode.ts";
import type { Annexes } from "./annexes.ts";
import { ensureBridge, findBridges, isIntact } from "./bridge-link.ts";
import type { BridgesFound } from "./bridge-link.ts";
import { portChanges } from "./endpoint.ts";
import type { Joined } from "./joined.ts";
import type { BridgeOptions } from "./options.ts";

/** A network, and the bridge that it has in the kernel. */
export interface BridgedNetwork {
  spec: NetworkSpec;
  options: BridgeOptions;
  bridgeIndex: number;
}

export interface BridgeRepairOptions {
  kernel: NetworkKernel;
  alias: string;
  networks: Map<string, BridgedNetwork>;
  annexes: Annexes;
  joined: Joined;
  /** After what is done for networks of that id. */
  queue: (networkId: string, work: () => Promise<void>) => Promise<void>;
  /** What a new bridge and these new ports of its do not have yet. */
  republish: (network: BridgedNetwork, ports: readonly string[]) => Promise<void>;
  attached: (endpoint: EndpointReference, name: string) => Promise<void>;
  warn: (message: string) => void;
  repaired: (what: string) => void;
}

/** Gives what looks at all of them. */
export function createBridgeRepair({ kernel, alias, networks, annexes, joined, queue, republish, attached, warn, repaired }: BridgeRepairOptions): () => Promise<void> {
  const isWhole = ({ spec, options, bridgeIndex }: BridgedNetwork, found: BridgesFound): boolean => isIntact(found, spec, { options, index: bridgeIndex }) && annexes.areIntact(spec.id, found.links);

  /** The interfaces that lost their bridge become its ports. */
  const attachLost = async (networkId: string): Promise<string[]> => {
    const own = joined.of(networkId);
    const lost = (await kernel.links()).filter(({ name, master }) => own.has(name) && master === 0);
    const changes = lost.flatMap(({ name, index }: Link) => {
      const port = annexes.portOf(own.get(name)!);
      return port ? portChanges({ index }, port.bridgeIndex, port.isolated) : [];
    });
    await kernel.apply(changes);
    for (const { name } of lost) await attached(own.get(name)!, name);
    return lost.map(({ name }) => name);
  };

  const repair = async (id: string): Promise<void> => {
    const network = networks.get(id);
    const found = await findBridges(kernel);
    if (!network || isWhole(network, found)) return;
    const { spec, options } = network;
    const link = await ensureBridge(kernel, spec, options, { alias, present: await kernel.link(options.bridge) });
    const isNew = link.index !== network.bridgeIndex;
    // At once: a container that joins meanwhile needs it.
    const again = { ...network, bridgeIndex: link.index };
    networks.set(id, again);
    const annexesLost = !annexes.areIntact(id, found.links);
    await annexes.mend(id);
    await republish(again, isNew || annexesLost ? await attachLost(id) : []);
    warn(`the bridge ${options.bridge} was removed or changed by another program and has been restored`);
    repaired(`bridge ${options.bridge}`);
  };

  return async () => {
    const found = await findBridges(kernel);
    // What is being made or removed meanwhile is looked at again behind that.
    for (const network of [...networks.values()].filter((one) => !isWhole(one, found))) await queue(network.spec.id, () => repair(network.spec.id));
  };
}
