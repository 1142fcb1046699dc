/** Networks as Linux bridges: a veth pair for each endpoint, one nftables table for all networks of the daemon. */
import { randomBytes } from "node:crypto";
import type { PublishedEndpoint, PublishesPorts } from "../../core/network-ports.ts";
import type { EndpointReference, JoinRequest, JoinResult, NetworkDriver, NetworkSpec, ProvidesSandboxes, RecoversEndpoints, SandboxNamespace } from "../../core/network.ts";
import { GantryError, messageOf, notFound } from "../../lib/errors.ts";
import { localMac } from "../../lib/mac.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import type { RouteChange } from "../../sys/netlink/rtnetlink.ts";
import { errnoCode } from "../../sys/netlink/socket.ts";
import type { NftTable } from "../../sys/netlink/nftables.ts";
import type { NetlinkWatch } from "../../sys/netlink/socket.ts";
import { ensureBridge, isIntact, ownerAlias } from "./bridge-link.ts";
import { createDepartures } from "./departures.ts";
import { addressChanges, hairpinChange, hostInterfaceName, interfacePlan, macOf, portChanges } from "./endpoint.ts";
import { keepFirewall, withoutFirewall } from "./firewall-keeper.ts";
import type { FirewallNetwork } from "./firewall.ts";
import { DEFAULT_MTU, bridgeOptions } from "./options.ts";
import type { BridgeOptions } from "./options.ts";
import { createPorts } from "./ports.ts";
import type { DescriptorKeeper } from "./ports.ts";
import { createPreparedPool } from "./prepared-pool.ts";
import type { PreparedPool } from "./prepared-pool.ts";
import { createRepairs } from "./repairs.ts";

export interface BridgeDriverOptions {
  kernel: NetworkKernel;
  /** Four characters that tell this daemon's interfaces from another's. */
  tag: string;
  /** The name of the nftables table. */
  table: string;
  /** Switch IP forwarding on. */
  ipForward: boolean;
  /** Prepared sandboxes for each network; 0: none. */
  poolSize: number;
  warn: (message: string) => void;
  /** Absent: reserved ports are free while the daemon is restarted. */
  keeper?: DescriptorKeeper;
  /** false: no rules are made, and no ports published. */
  firewall?: boolean;
  /** false: without owners of tables, as on kernels before 6.9. */
  tableOwner?: boolean;
}

interface Network {
  spec: NetworkSpec;
  options: BridgeOptions;
  bridgeIndex: number;
  pool: PreparedPool;
}

const PREPARED_INTERFACE = "eth0";
/** The interface's index in its sandbox: loopback is 1. */
const FIRST_INDEX = 2;
const LATER_INDEX = 1000;
/** How long closing waits for interfaces on their way out. */
const CLOSE_MS = 1000;

export type BridgeDriver = NetworkDriver & ProvidesSandboxes & RecoversEndpoints & PublishesPorts;

export function createBridgeDriver(options: BridgeDriverOptions): BridgeDriver {
  const { kernel, tag, warn } = options;
  const alias = ownerAlias(tag);
  const networks = new Map<string, Network>();
  /** The interface's index in each prepared sandbox, by endpoint. */
  const prepared = new Map<string, number>();
  let interfaceIndex = FIRST_INDEX;
  let watching: Promise<NetlinkWatch> | undefined;
  const departures = createDepartures(kernel, warn);
  const table: NftTable = { family: "inet", name: options.table };
  const firewall = options.firewall === false ? withoutFirewall(kernel, table) : keepFirewall({ kernel, table, warn, owner: options.tableOwner ?? true });
  const ports = createPorts({ kernel, keeper: options.keeper, warn });
  /** The networks of endpoints with published ports. */
  const publishing = new Map<string, string>();
  const prefix = `veth${tag}`;
  const hostName = (endpointId: string): string => hostInterfaceName(prefix, endpointId);
  const find = (id: string): Network => {
    const network = networks.get(id);
    if (!network) throw notFound(`bridge network ${id} does not exist`);
    return network;
  };

  const planOf = (network: Network, endpoint: { endpointId: string; interfaceName: string; index: number; mac: Uint8Array }): ReturnType<typeof interfacePlan> =>
    interfacePlan({
      hostName: hostName(endpoint.endpointId),
      hostNetns: kernel.netns,
      bridgeIndex: network.bridgeIndex,
      mtu: network.options.mtu || DEFAULT_MTU,
      name: endpoint.interfaceName,
      index: endpoint.index,
      mac: endpoint.mac,
      isolated: !network.options.icc,
    });

  /** Kernels that make tunnel devices in each namespace have taken the first index: then all get a later one. */
  const withIndex = async <Value>(make: (index: number) => Promise<Value>): Promise<Value> => {
    const tried = interfaceIndex;
    try {
      return await make(tried);
    } catch (error) {
      if (errnoCode(error) !== "EEXIST" || tried === LATER_INDEX) throw error;
      interfaceIndex = LATER_INDEX;
      return make(LATER_INDEX);
    }
  };

  const removeInterface = async (endpointId: string): Promise<void> => {
    prepared.delete(endpointId);
    try {
      await kernel.apply([{ op: "deleteLink", link: { name: hostName(endpointId) } }]);
    } catch (error) {
      if (errnoCode(error) !== "ENODEV") throw error;
    }
  };

  const prepare = (network: Network, endpointId: string): Promise<SandboxNamespace> =>
    withIndex(async (index) => {
      const sandbox = await kernel.createSandbox(planOf(network, { endpointId, interfaceName: PREPARED_INTERFACE, index, mac: localMac(randomBytes(6)) }));
      prepared.set(endpointId, index);
      return sandbox;
    });

  const hairpin = ({ endpointId, ports: published = [] }: JoinRequest): RouteChange[] => (published.length > 0 ? [hairpinChange(hostName(endpointId))] : []);

  const joinPrepared = (index: number, request: JoinRequest, mac: Uint8Array): Promise<void> =>
    kernel.applyToSandbox(request.sandbox.fd, { inside: [{ op: "setLink", link: { index }, mac }, ...addressChanges(index, request)], outside: hairpin(request) });

  const joinNew = (network: Network, request: JoinRequest, mac: Uint8Array): Promise<void> =>
    withIndex((index) => {
      const plan = planOf(network, { ...request, index, mac });
      return kernel.applyToSandbox(request.sandbox.fd, { ...plan, inside: [...plan.inside, ...addressChanges(index, request)], outside: [...plan.outside, ...hairpin(request)] });
    });

  /** The host's loopback reaches published ports; the firewall keeps containers from it. */
  const openLoopback = ({ bridge }: BridgeOptions): Promise<void> => kernel.writeSysctls([{ name: `net/ipv4/conf/${bridge}/route_localnet`, value: "1" }]);

  const publish = async (network: Network, request: JoinRequest): Promise<void> => {
    const address = request.addresses.find((one) => one.address.family === 4)?.address;
    if (!address || !request.ports?.length) return;
    const first = ![...publishing.values()].includes(network.spec.id);
    publishing.set(request.endpointId, network.spec.id);
    await Promise.all([firewall.publish(request.endpointId, { address, ports: request.ports }), ports.keep(request), first ? openLoopback(network.options) : undefined]);
  };

  /** The interfaces of dropped sandboxes go with them, a moment later. */
  const drain = async ({ pool }: Network): Promise<void> => {
    for (const endpointId of await pool.drain()) {
      prepared.delete(endpointId);
      void departures.wait(hostName(endpointId));
    }
  };

  const openNetwork = (spec: NetworkSpec, bridge: BridgeOptions, bridgeIndex: number): Network => {
    const pool = createPreparedPool({ size: options.poolSize, prepare: (endpointId) => prepare(network, endpointId), warn });
    const network: Network = { spec, options: bridge, bridgeIndex, pool };
    return network;
  };

  /** What a new bridge and its new ports do not have yet. */
  const republish = async (networkId: string, bridge: BridgeOptions, present: readonly string[]): Promise<void> => {
    const names = [...publishing].flatMap(([endpointId, network]) => (network === networkId ? [hostName(endpointId)] : []));
    if (names.length > 0) await openLoopback(bridge);
    await kernel.apply(names.filter((name) => present.includes(name)).map(hairpinChange));
  };

  /** A bridge that somebody deleted is made again, and the interfaces that lost it become its ports; with several networks nobody can tell whose they were. */
  const repair = async (network: Network): Promise<void> => {
    const { spec, options: bridge, bridgeIndex } = network;
    if (networks.get(spec.id) !== network || (await isIntact(kernel, spec, { name: bridge.bridge, index: bridgeIndex }))) return;
    const link = await ensureBridge(kernel, spec, bridge, alias);
    if (link.index !== bridgeIndex) {
      const lost = networks.size === 1 ? (await kernel.links()).filter(({ name, master }) => name.startsWith(prefix) && master === 0) : [];
      await kernel.apply(lost.flatMap(({ index }) => portChanges({ index }, link.index, !bridge.icc)));
      await republish(spec.id, bridge, lost.map(({ name }) => name));
      networks.set(spec.id, openNetwork(spec, bridge, link.index));
      await drain(network);
    }
    warn(`the bridge ${bridge.bridge} was removed or changed by another program and has been restored`);
  };

  const repairs = createRepairs(async () => {
    for (const network of networks.values()) await repair(network);
  }, warn);

  const applyFirewall = (): Promise<void> => firewall.apply([...networks.values()].map(firewallNetwork));

  return {
    id: "bridge",
    capabilities: { sandbox: "own", addresses: true, scope: "local" },
    validate: (spec) => void bridgeOptions(spec),

    createNetwork: async (spec) => {
      const bridge = bridgeOptions(spec);
      if (options.ipForward) await kernel.writeSysctls([{ name: "net/ipv4/ip_forward", value: "1" }]);
      const link = await ensureBridge(kernel, spec, bridge, alias);
      const before = networks.get(spec.id);
      if (before) await drain(before);
      networks.set(spec.id, openNetwork(spec, bridge, link.index));
      await applyFirewall();
      await republish(spec.id, bridge, []);
      watching ??= kernel.watchAddresses(() => repairs.request());
      await watching;
    },

    deleteNetwork: async (networkId) => {
      const network = networks.get(networkId);
      if (!network) return;
      networks.delete(networkId);
      const link = await kernel.link(network.options.bridge);
      const steps = [drain(network), networks.size > 0 ? applyFirewall() : firewall.remove(), link?.alias === alias ? kernel.apply([{ op: "deleteLink", link: { index: link.index } }]) : Promise.resolve()];
      const failures = (await Promise.allSettled(steps)).flatMap((result) => (result.status === "rejected" ? [messageOf(result.reason)] : []));
      if (failures.length > 0) throw new GantryError("system", `removing network ${network.spec.name}: ${failures.join("; ")}`);
    },

    join: async (request): Promise<JoinResult> => {
      const network = find(request.networkId);
      const mac = request.mac ?? macOf(request.addresses, () => localMac(randomBytes(6)));
      const index = prepared.get(request.endpointId);
      prepared.delete(request.endpointId);
      try {
        const steps = [index !== undefined ? joinPrepared(index, request, mac) : joinNew(network, request, mac), publish(network, request)];
        const failed = (await Promise.allSettled(steps)).find(({ status }) => status === "rejected");
        if (failed?.status === "rejected") throw failed.reason;
      } catch (error) {
        await removeInterface(request.endpointId).catch((second: unknown) => warn(`undoing a join: ${messageOf(second)}`));
        throw error;
      }
      return { mac };
    },

    leave: ({ endpointId }: EndpointReference) => {
      prepared.delete(endpointId);
      return departures.wait(hostName(endpointId));
    },

    provideSandbox: async (networkId) => find(networkId).pool.take(),

    reservePorts: (endpoint, requests) => ports.reserve(endpoint, requests, find(endpoint.networkId).options.hostBinding),

    releasePorts: async (endpoint) => {
      publishing.delete(endpoint.endpointId);
      const results = await Promise.allSettled([firewall.unpublish(endpoint.endpointId), ports.release(endpoint)]);
      const failures = results.flatMap((result) => (result.status === "rejected" ? [messageOf(result.reason)] : []));
      if (failures.length > 0) throw new GantryError("system", `releasing published ports: ${failures.join("; ")}`);
    },

    restorePorts: async (endpoints: readonly PublishedEndpoint[]) => {
      for (const endpoint of endpoints) {
        const address = endpoint.addresses.find((one) => one.address.family === 4)?.address;
        if (address) firewall.publishLater(endpoint.endpointId, { address, ports: endpoint.ports });
        publishing.set(endpoint.endpointId, endpoint.networkId);
        await ports.restore(endpoint);
      }
    },

    recover: async (endpoints) => {
      const known = new Set([...prepared.keys(), ...endpoints.map(({ endpointId }) => endpointId)].map(hostName));
      const stale = (await kernel.links()).filter(({ name, kind }) => kind === "veth" && name.startsWith(prefix) && !known.has(name));
      const removals = await Promise.allSettled(stale.map(({ index }) => kernel.apply([{ op: "deleteLink", link: { index } }])));
      for (const removal of removals) if (removal.status === "rejected" && errnoCode(removal.reason) !== "ENODEV") warn(`removing a left-over interface: ${messageOf(removal.reason)}`);
    },

    prepared: async () => {
      for (const { pool } of networks.values()) await pool.filled();
    },

    close: async () => {
      firewall.close();
      ports.close();
      repairs.close();
      (await watching)?.close();
      await Promise.all([...networks.values()].map(drain));
      await departures.close(CLOSE_MS);
    },
  };
}

function firewallNetwork({ spec, options }: Network): FirewallNetwork {
  const v4 = spec.subnets.map(({ subnet }) => subnet).filter(({ address }) => address.family === 4);
  return { bridge: options.bridge, subnets: v4, masquerade: options.masquerade && !spec.internal ? v4 : [], icc: options.icc };
}
