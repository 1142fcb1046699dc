/** Networks as Linux bridges: a veth pair for each endpoint, one nftables table for all networks of the daemon. */
import { randomBytes } from "node:crypto";
import type { PublishedEndpoint, PublishesPorts } from "../../core/network-ports.ts";
import type { EndpointReference, GuardsEndpoints, JoinRequest, JoinResult, NetworkDriver, NetworkSpec, OpensLinks, ProvidesSandboxes, RecoversEndpoints, RenumberedEndpoint, RenumbersNetworks, RestoresEndpoints, SilencesEndpoints } from "../../core/network.ts";
import { GantryError, messageOf, notFound } from "../../lib/errors.ts";
import { KeyedQueue } from "../../lib/keyed-queue.ts";
import { localMac } from "../../lib/mac.ts";
import { randomId } from "../../lib/random-id.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import type { Link } from "../../sys/netlink/rtnetlink-decode.ts";
import { errnoCode } from "../../sys/netlink/socket.ts";
import type { NftTable } from "../../sys/netlink/nftables.ts";
import { ensureBridge, findBridges, isIntact, ownerAlias, type BridgesFound } from "./bridge-link.ts";
import { createBridgeRemoval } from "./bridge-removal.ts";
import { createDepartures } from "./departures.ts";
import { addressesOf, hairpinChange, loopbackRoute, macOf, portChanges } from "./endpoint.ts";
import { createDetour } from "./detour.ts";
import { keepFirewall, withoutFirewall, type OthersMode } from "./firewall-keeper.ts";
import type { FirewallRules } from "./firewall.ts";
import { firewallNetwork, portRules, publicationOf } from "./network-rules.ts";
import { createJoined } from "./joined.ts";
import { PREPARED_INTERFACE, createInterfaces, type BridgePort } from "./interfaces.ts";
import { inDockersWords } from "./refusals.ts";
import { failOnRequest, failWithoutIpv6 } from "./requested-faults.ts";
import { keepForwarding } from "./forwarding.ts";
import { NO_GUARD, keepGuard } from "./guard-keeper.ts";
import { DEFAULT_MTU, bridgeOptions, isWithoutGateway, type BridgeOptions } from "./options.ts";
import { createPorts, type DescriptorKeeper } from "./ports.ts";
import { createPreparedPool } from "./prepared-pool.ts";
import { createRelay, type RelayProgram } from "./relay.ts";
import { renumberInterface } from "./renumber.ts";
import { keepSysctls } from "../../sys/netlink/sysctl-keeper.ts";
import { createWatchman } from "./watchman.ts";

/** "none": no rules are made, and no ports published. */
export type FirewallMode = OthersMode | "none";

export interface BridgeDriverOptions {
  kernel: NetworkKernel;
  /** Four characters that tell this daemon's interfaces from another's. */
  tag: string;
  /** The name of the nftables table. */
  table: string;
  /** Switch IP forwarding on. */
  ipForward: boolean;
  /** Prepared sandboxes; 0: none. */
  poolSize: number;
  warn: (message: string) => void;
  /** Absent: reserved ports are free while the daemon is restarted. */
  keeper?: DescriptorKeeper;
  firewall: FirewallMode;
  /** What holds for all networks. */
  rules?: FirewallRules;
  /** Something of ours was made again after another program took it away. */
  repaired?: (what: string) => void;
  /** Serves ports at addresses of the family that a container has not; absent: nobody does. */
  relay?: RelayProgram;
  /** false: containers may speak for each other, as with Docker. */
  guard?: boolean;
  /** false: without owners of tables, as on kernels before 6.9. */
  tableOwner?: boolean;
}

interface Network {
  spec: NetworkSpec;
  options: BridgeOptions;
  bridgeIndex: number;
}

/** How long closing waits for interfaces on their way out. */
const CLOSE_MS = 1000;

export type BridgeDriver = NetworkDriver & ProvidesSandboxes & RecoversEndpoints & PublishesPorts & OpensLinks & RenumbersNetworks & RestoresEndpoints & GuardsEndpoints & SilencesEndpoints & {
  /** Other ways with other programs' firewalls; nothing for a daemon that makes no rules. */
  setFirewall(mode: OthersMode): Promise<void>;
};

export function createBridgeDriver(options: BridgeDriverOptions): BridgeDriver {
  const { kernel, tag, warn, repaired = () => {}, rules = { ipv6: true, directRouting: false } } = options;
  const alias = ownerAlias(tag);
  const networks = new Map<string, Network>();
  const changing = new KeyedQueue();
  /** The bridges of networks that there were or are. */
  const expected = new Set<string>();
  const removal = createBridgeRemoval(kernel);
  const departures = createDepartures(kernel, warn);
  const table: NftTable = { family: "inet", name: options.table };
  const owner = options.tableOwner ?? true;
  const firewall = options.firewall === "none" ? withoutFirewall(kernel, table) : keepFirewall({ kernel, table, warn, repaired, rules, mode: options.firewall, detour: createDetour({ kernel, tag, table: options.table, warn, repaired, owner }), owner });
  const guard = options.firewall === "none" || options.guard === false ? NO_GUARD : keepGuard({ kernel, table: { family: "bridge", name: `${options.table}-guard` }, warn, repaired, owner });
  const forwarding = keepForwarding({ kernel, warn, repaired });
  const sysctls = keepSysctls({ kernel, warn, repaired });
  const ports = createPorts({ kernel, keeper: options.keeper, relay: options.relay && createRelay(options.relay, warn), warn });
  /** The networks of endpoints with published ports. */
  const publishing = new Map<string, string>();
  const prefix = `veth${tag}`;
  const interfaces = createInterfaces(kernel, prefix);
  const { hostName } = interfaces;
  const find = (id: string): Network => {
    const network = networks.get(id);
    if (!network) throw notFound(`bridge network ${id} does not exist`);
    return network;
  };

  const pool = createPreparedPool({ size: options.poolSize, prepare: interfaces.prepare, warn });

  /** Without firewall rules the ports themselves keep containers from each other; then their published ports are closed to siblings too. */
  const isIsolated = ({ options: { icc } }: Network): boolean => !icc && guard === NO_GUARD;

  const portOf = (network: Network): BridgePort => ({ bridgeIndex: network.bridgeIndex, isolated: isIsolated(network), mtu: network.options.mtu || DEFAULT_MTU });

  const joined = createJoined({
    kernel,
    hostName,
    portOf: (networkId) => {
      const network = networks.get(networkId);
      return network && portOf(network);
    },
    isPublishing: (endpointId) => publishing.has(endpointId),
  });

  /** The host's loopback reaches published ports; the firewall keeps containers from it. */
  const openLoopback = async ({ spec, options: { bridge }, bridgeIndex }: Network): Promise<void> => {
    await sysctls.keep(loopbackSysctl(bridge), "1");
    if (!spec.subnets.some(({ subnet }) => subnet.address.family === 6)) return;
    await kernel.apply([loopbackRoute(bridgeIndex)]);
  };

  const publish = async (network: Network, request: Pick<JoinRequest, "networkId" | "endpointId" | "addresses" | "ports">): Promise<void> => {
    if (!request.ports?.length) return;
    const endpoint = { ...request, ports: request.ports };
    await Promise.all([answer(network, endpoint), ports.keep(request), ports.serve(endpoint)]);
  };

  const answer = async (network: Network, endpoint: PublishedEndpoint): Promise<void> => {
    const first = ![...publishing.values()].includes(network.spec.id);
    publishing.set(endpoint.endpointId, network.spec.id);
    await Promise.all([firewall.publish(endpoint.endpointId, publicationOf(endpoint)), first ? openLoopback(network) : undefined]);
  };

  const stopAnswering = async (endpointId: string): Promise<void> => {
    const networkId = publishing.get(endpointId) ?? "";
    publishing.delete(endpointId);
    const network = networks.get(networkId);
    if (network && ![...publishing.values()].includes(networkId)) sysctls.forget(loopbackSysctl(network.options.bridge));
    await firewall.unpublish(endpointId);
  };

  const watchOver = async ({ options: { guarded, icc } }: Network, request: RenumberedEndpoint, mac: Uint8Array): Promise<void> => {
    const port = { name: hostName(request.endpointId), mac, addresses: addressesOf(request).map(({ address }) => address), guarded: !request.trusted && guarded, secluded: !icc };
    if (port.guarded || port.secluded) await guard.add(port);
  };

  /** The interfaces of dropped sandboxes go with them, a moment later. */
  const drain = async (): Promise<void> => {
    for (const endpointId of await pool.drain()) {
      interfaces.forget(endpointId);
      void departures.wait(hostName(endpointId));
    }
  };

  /** What a new bridge and its new ports do not have yet. */
  const republish = async (network: Network, present: readonly string[]): Promise<void> => {
    const names = [...publishing].flatMap(([endpointId, id]) => (id === network.spec.id ? [hostName(endpointId)] : []));
    if (names.length > 0) await openLoopback(network);
    await kernel.apply(names.filter((name) => present.includes(name)).map(hairpinChange));
  };

  /** A bridge that somebody deleted is made again, and the interfaces that lost it become its ports. */
  const repair = async ({ spec: { id } }: Network, found: BridgesFound): Promise<void> => {
    const network = networks.get(id);
    if (!network || isIntact(found, network.spec, { options: network.options, index: network.bridgeIndex })) return;
    const { spec, options: bridge, bridgeIndex } = network;
    const link = await ensureBridge(kernel, spec, bridge, { alias, present: await kernel.link(bridge.bridge) });
    if (link.index !== bridgeIndex) {
      // At once: a container that joins meanwhile needs it.
      const again = { ...network, bridgeIndex: link.index };
      networks.set(spec.id, again);
      const own = joined.hostNames(spec.id);
      const lost = (await kernel.links()).filter(({ name, master }) => own.has(name) && master === 0);
      await kernel.apply(lost.flatMap(({ index }) => portChanges({ index }, link.index, isIsolated(network))));
      await republish(again, lost.map(({ name }) => name));
    } else await republish(network, []);
    warn(`the bridge ${bridge.bridge} was removed or changed by another program and has been restored`);
    repaired(`bridge ${bridge.bridge}`);
  };

  const watchman = createWatchman({ kernel, warn, repaired, joined, bridges: () => [...networks.values()].map(({ options: { bridge } }) => bridge), networkIds: () => [...networks.keys()], repairBridges: async () => {
    const found = await findBridges(kernel);
    const broken = [...networks.values()].filter(({ spec, options: bridge, bridgeIndex }) => !isIntact(found, spec, { options: bridge, index: bridgeIndex }));
    // What is being made or removed meanwhile is looked at again behind that.
    for (const network of broken) await changing.run(network.spec.id, async () => repair(network, await findBridges(kernel)));
  } });

  const createNetwork = async (spec: NetworkSpec): Promise<void> => {
    const bridge = bridgeOptions(spec);
    const present = await kernel.link(bridge.bridge);
    const makeBridge = async (): Promise<Link> => {
      const link = await ensureBridge(kernel, spec, bridge, { alias, present });
      failOnRequest(bridge);
      return link;
    };
    // The kernel has waits of its own for each of these.
    const steps = await Promise.allSettled([
      makeBridge(),
      firewall.setNetwork(spec.id, firewallNetwork(spec, bridge)),
      options.ipForward ? forwarding.enable(bridge.bridge, spec.subnets.map(({ subnet }) => subnet.address.family)) : undefined,
      watchman.watch(),
    ]);
    const [link] = steps;
    try {
      if (link.status === "fulfilled") networks.set(spec.id, { spec, options: bridge, bridgeIndex: link.value.index });
      for (const step of steps) if (step.status === "rejected") throw step.reason;
      await republish(find(spec.id), []);
    } catch (error) {
      networks.delete(spec.id);
      const undoing = [firewall.removeNetwork(spec.id), present ? Promise.resolve() : removeBridge(bridge)];
      for (const undone of await Promise.allSettled(undoing)) if (undone.status === "rejected") warn(`undoing network ${spec.name}: ${messageOf(undone.reason)}`);
      throw error;
    }
  };

  /** Unless it is somebody else's. */
  const removeBridge = async ({ bridge }: BridgeOptions): Promise<void> => {
    const link = await kernel.link(bridge);
    if (link?.alias === alias) await removal.remove(link.index);
  };

  const renumber = async (network: Network, endpoint: RenumberedEndpoint): Promise<JoinResult> => {
    const mac = endpoint.mac ?? macOf(endpoint.addresses, () => localMac(randomBytes(6)));
    const { ports: published = [] } = endpoint;
    // What it may speak for first: no packet from a new address is lost.
    await watchOver(network, endpoint, mac);
    await renumberInterface(endpoint, mac);
    if (published.length > 0) await Promise.all([answer(network, { ...endpoint, ports: published }), ports.serve({ ...endpoint, ports: published })]);
    return { mac };
  };

  const renumberNetwork = async (spec: NetworkSpec, endpoints: readonly RenumberedEndpoint[]): Promise<JoinResult[]> => {
    await createNetwork(spec);
    const network = find(spec.id);
    const results = await Promise.allSettled(endpoints.map((endpoint) => renumber(network, endpoint)));
    const failures = results.flatMap((result) => (result.status === "rejected" ? [messageOf(result.reason)] : []));
    if (failures.length > 0) throw new GantryError("system", `renumbering network ${spec.name}: ${failures.join("; ")}`);
    return results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  };

  const deleteNetwork = async (networkId: string): Promise<void> => {
    const network = networks.get(networkId);
    if (!network) return;
    networks.delete(networkId);
    sysctls.forget(loopbackSysctl(network.options.bridge));
    forwarding.forget(network.options.bridge);
    const steps = [firewall.removeNetwork(networkId), networks.size === 0 ? guard.removeTable() : Promise.resolve(), removeBridge(network.options)];
    const failures = (await Promise.allSettled(steps)).flatMap((result) => (result.status === "rejected" ? [messageOf(result.reason)] : []));
    if (failures.length > 0) throw new GantryError("system", `removing network ${network.spec.name}: ${failures.join("; ")}`);
  };

  return {
    id: "bridge",
    capabilities: { sandbox: "own", addresses: true, gateways: "own", scope: "local" },
    validate: (spec) => void bridgeOptions(spec),
    isWithoutGateway: (spec, family) => isWithoutGateway(bridgeOptions(spec), spec, family),

    createNetwork: (spec) => changing.run(spec.id, () => createNetwork(spec)),
    renumberNetwork: (spec, endpoints) => changing.run(spec.id, () => renumberNetwork(spec, endpoints)),
    deleteNetwork: (networkId) => changing.run(networkId, () => deleteNetwork(networkId)),

    join: async (request): Promise<JoinResult> => {
      const network = find(request.networkId);
      const mac = request.mac ?? macOf(request.addresses, () => localMac(randomBytes(6)));
      joined.add(request);
      try {
        failWithoutIpv6(request);
        const steps = [interfaces.join(portOf(network), request, mac), publish(network, request), watchOver(network, request, mac)];
        const failed = (await Promise.allSettled(steps)).find(({ status }) => status === "rejected");
        if (failed?.status === "rejected") throw inDockersWords(failed.reason, request, { network: network.spec.name, bridge: network.options.bridge });
      } catch (error) {
        joined.remove(request.endpointId);
        await guard.remove(hostName(request.endpointId));
        await interfaces.remove(request.endpointId).catch((second: unknown) => warn(`undoing a join: ${messageOf(second)}`));
        throw error;
      }
      return { mac };
    },

    leave: async ({ endpointId }: EndpointReference, from) => {
      interfaces.forget(endpointId);
      joined.remove(endpointId);
      await guard.remove(hostName(endpointId));
      await (from ? interfaces.remove(endpointId) : departures.wait(hostName(endpointId)));
    },

    silence: ({ endpointId }) => interfaces.silence(endpointId),

    provideSandbox: async (networkId, interfaceName) => {
      find(networkId);
      return interfaceName === PREPARED_INTERFACE ? pool.take() : { endpointId: randomId(), sandbox: await kernel.createSandbox() };
    },

    publishPorts: async (endpoint) => {
      await publish(find(endpoint.networkId), endpoint);
      await kernel.apply([hairpinChange(hostName(endpoint.endpointId))]);
    },

    reservePorts: (endpoint, requests, families) => ports.reserve(endpoint, requests, portRules(find(endpoint.networkId).options, families, rules)),

    changePorts: async (endpoint, change) => {
      const network = find(endpoint.networkId);
      const changed = await ports.change(endpoint, change, portRules(network.options, change.families, rules));
      return {
        ports: changed.ports,
        cancel: changed.cancel,
        apply: async () => {
          if (changed.ports.length > 0) {
            await answer(network, { ...endpoint, ports: changed.ports });
            await kernel.apply([hairpinChange(hostName(endpoint.endpointId))]);
          } else await stopAnswering(endpoint.endpointId);
          await changed.settle();
          await ports.serve({ ...endpoint, ports: changed.ports });
        },
      };
    },

    releasePorts: async (endpoint) => {
      const results = await Promise.allSettled([stopAnswering(endpoint.endpointId), ports.release(endpoint)]);
      const failures = results.flatMap((result) => (result.status === "rejected" ? [messageOf(result.reason)] : []));
      if (failures.length > 0) throw new GantryError("system", `releasing published ports: ${failures.join("; ")}`);
    },

    openLink: async (link) => {
      if (!find(link.networkId).options.icc) await Promise.all([firewall.openLink(link), guard.openLink(link)]);
    },

    closeLink: async (link) => void (await Promise.all([firewall.closeLink(link), guard.closeLink(link)])),

    restorePorts: async (endpoints: readonly PublishedEndpoint[]) => {
      for (const endpoint of endpoints) {
        firewall.publishLater(endpoint.endpointId, publicationOf(endpoint));
        publishing.set(endpoint.endpointId, endpoint.networkId);
        await ports.restore(endpoint);
        await ports.serve(endpoint).catch((error: unknown) => warn(messageOf(error)));
      }
    },

    expectNetworks: (specs) => {
      for (const spec of specs) {
        const bridge = bridgeOptions(spec);
        expected.add(bridge.bridge);
        firewall.setNetworkLater(spec.id, firewallNetwork(spec, bridge));
      }
    },

    recover: async (endpoints) => {
      endpoints.forEach(joined.add);
      const known = new Set([...interfaces.prepared(), ...endpoints.map(({ endpointId }) => endpointId)].map(hostName));
      await Promise.all([guard.recover(known), ports.recover(endpoints.map(({ endpointId }) => endpointId))]);
      for (const { options: { bridge } } of networks.values()) expected.add(bridge);
      const isStale = ({ name, kind, alias: owner }: Link): boolean => (kind === "veth" ? name.startsWith(prefix) && !known.has(name) : kind === "bridge" && owner === alias && !expected.has(name));
      const stale = (await kernel.links()).filter(isStale);
      const removals = await Promise.allSettled(stale.map(({ index }) => kernel.apply([{ op: "deleteLink", link: { index } }])));
      for (const removal of removals) if (removal.status === "rejected" && errnoCode(removal.reason) !== "ENODEV") warn(`removing a left-over interface: ${messageOf(removal.reason)}`);
    },

    believe: ({ endpointId }, addresses) => guard.believe(hostName(endpointId), addresses),

    onLoss: watchman.onLoss,
    checkEndpoints: watchman.checkEndpoints,

    rejoin: async (request) => {
      if (!joined.has(request.endpointId) || (await kernel.link(hostName(request.endpointId)))) return false;
      await interfaces.join(portOf(find(request.networkId)), request, request.mac);
      if (joined.has(request.endpointId)) return true;
      await interfaces.remove(request.endpointId);
      return false;
    },

    setFirewall: firewall.setMode,

    prepared: async () => {
      if (networks.size > 0) await pool.filled();
    },

    close: async () => {
      firewall.close();
      guard.close();
      forwarding.close();
      sysctls.close();
      ports.close();
      await watchman.close();
      await drain();
      await departures.close(CLOSE_MS);
    },
  };
}

const loopbackSysctl = (bridge: string): string => `net/ipv4/conf/${bridge}/route_localnet`;
