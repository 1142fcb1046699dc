/** Networks as Linux bridges: a veth pair for each endpoint, one nftables table for all networks of the daemon. */
import { randomBytes } from "node:crypto";
import type { PublishedEndpoint, PublishesPorts } from "../../core/network-ports.ts";
import type { EndpointReference, GuardsEndpoints, JoinRequest, JoinResult, NamesBridges, NetworkDriver, NetworkSpec, OpensLinks, ProvidesSandboxes, RecoversEndpoints, RenumberedEndpoint, RenumbersNetworks, RestoresEndpoints, SilencesEndpoints } from "../../core/network.ts";
import { GantryError, forbidden, messageOf, notFound } from "../../lib/errors.ts";
import { KeyedQueue } from "../../lib/keyed-queue.ts";
import { localMac } from "../../lib/mac.ts";
import { randomId } from "../../lib/random-id.ts";
import type { Link } from "../../sys/netlink/rtnetlink-decode.ts";
import { errnoCode } from "../../sys/netlink/socket.ts";
import type { NftTable } from "../../sys/netlink/nftables.ts";
import { PORT_LIMITS, annexPrefixes, createAnnexes } from "./annexes.ts";
import { ensureBridge, ownerAlias } from "./bridge-link.ts";
import { createBridgeRepair, type BridgedNetwork } from "./bridge-repair.ts";
import { createBridgeRemoval } from "./bridge-removal.ts";
import { createDepartures } from "./departures.ts";
import { addressesOf, hairpinChange, loopbackRoute, macOf } from "./endpoint.ts";
import { createDetour } from "./detour.ts";
import type { BridgeDriverOptions } from "./driver-options.ts";
import { keepFirewall, withoutFirewall, type OthersMode } from "./firewall-keeper.ts";
import { firewallNetwork, portRules, publicationOf } from "./network-rules.ts";
import { createJoined } from "./joined.ts";
import { PREPARED_INTERFACE, createInterfaces } from "./interfaces.ts";
import { fullNetwork, inDockersWords, isFull } from "./refusals.ts";
import { failOnRequest, failWithoutIpv6 } from "./requested-faults.ts";
import { keepForwarding } from "./forwarding.ts";
import { NO_GUARD, keepGuard } from "./guard-keeper.ts";
import { DEFAULT_MTU, bridgeOptions, isWithoutGateway, type BridgeOptions } from "./options.ts";
import { createPorts } from "./ports.ts";
import { createPreparedPool } from "./prepared-pool.ts";
import { createRelay } from "./relay.ts";
import { renumberInterface } from "./renumber.ts";
import { keepSysctls } from "../../sys/netlink/sysctl-keeper.ts";
import { createWatchman } from "./watchman.ts";

/** How long closing waits for interfaces on their way out. */
const CLOSE_MS = 1000;

export type BridgeDriver = NetworkDriver & ProvidesSandboxes & RecoversEndpoints & PublishesPorts & OpensLinks & RenumbersNetworks & RestoresEndpoints & GuardsEndpoints & SilencesEndpoints & NamesBridges & {
  /** Other ways with other programs' firewalls; nothing for a daemon that makes no rules. */
  setFirewall(mode: OthersMode): Promise<void>;
};

export function createBridgeDriver(options: BridgeDriverOptions): BridgeDriver {
  const { kernel, tag, warn, repaired = () => {}, rules = { ipv6: true, directRouting: false } } = options;
  const alias = ownerAlias(tag);
  const networks = new Map<string, BridgedNetwork>();
  const changing = new KeyedQueue();
  /** The bridges of networks that there were or are, with the networks' ids. */
  const expected = new Map<string, string>();
  const removal = createBridgeRemoval(kernel);
  const departures = createDepartures(kernel, warn);
  const table: NftTable = { family: "inet", name: options.table };
  const owner = options.tableOwner ?? true;
  const firewall = options.firewall === "none" ? withoutFirewall(kernel, table, { relays: options.relay !== undefined }) : keepFirewall({ kernel, table, warn, repaired, rules, annexes: annexPrefixes(tag).bridge, mode: options.firewall, detour: createDetour({ kernel, tag, table: options.table, warn, repaired, owner }), owner });
  const guard = options.firewall === "none" || options.guard === false ? NO_GUARD : keepGuard({ kernel, table: { family: "bridge", name: `${options.table}-guard` }, warn, repaired, owner });
  const forwarding = keepForwarding({ kernel, warn, repaired });
  const sysctls = keepSysctls({ kernel, warn, repaired });
  const ports = createPorts({ kernel, keeper: options.keeper, relay: options.relay && createRelay(options.relay, warn), rules: options.firewall !== "none", warn });
  /** The networks of endpoints with published ports. */
  const publishing = new Map<string, string>();
  const prefix = `veth${tag}`;
  const interfaces = createInterfaces(kernel, { prefix, maps: options.maps });
  const { hostName } = interfaces;
  const find = (id: string): BridgedNetwork => {
    const network = networks.get(id);
    if (!network) throw notFound(`bridge network ${id} does not exist`);
    return network;
  };

  const pool = createPreparedPool({ size: options.poolSize, prepare: interfaces.prepare, warn });

  /** Without firewall rules the ports themselves keep containers from each other; then their published ports are closed to siblings too. */
  const isIsolated = ({ options: { icc } }: BridgedNetwork): boolean => !icc && guard === NO_GUARD;

  const annexes = createAnnexes({
    kernel,
    tag,
    alias,
    limits: options.portLimits ?? PORT_LIMITS,
    ownPort: (networkId) => {
      const network = networks.get(networkId);
      return network && { bridgeIndex: network.bridgeIndex, isolated: isIsolated(network), mtu: network.options.mtu || DEFAULT_MTU };
    },
    opening: async (networkId, link) => {
      await firewall.setAnnexed();
      await guard.add({ name: link, mac: new Uint8Array(), addresses: [], guarded: false, secluded: !find(networkId).options.icc, link: true });
    },
    closed: guard.remove,
    remove: removal.remove,
  });

  const attached = (endpoint: EndpointReference, name: string): Promise<void> => annexes.settle(endpoint, name, guard.macOf(name));
  const joined = createJoined({ kernel, hostName, portOf: annexes.portOf, isPublishing: (endpointId) => publishing.has(endpointId), attached });

  /** With a port of the bridge that has one. */
  const attach = async (network: BridgedNetwork, request: JoinRequest, mac: Uint8Array): Promise<void> => {
    const wording = { network: network.spec.name, bridge: network.options.bridge };
    let port = await annexes.take(request).catch((error: unknown) => Promise.reject(inDockersWords(error, request, wording)));
    if (!port) throw fullNetwork(wording);
    try {
      await interfaces.join(port, request, mac);
    } catch (error) {
      if (!isFull(error)) throw inDockersWords(error, request, wording);
      port = await annexes.takeOther(request).catch((second: unknown) => Promise.reject(inDockersWords(second, request, wording)));
      if (!port) throw fullNetwork(wording);
      await interfaces.attach(port, request);
    }
    await annexes.settle(request, hostName(request.endpointId), mac);
  };

  /** The host's loopback reaches published ports; the firewall keeps containers from it. The relay needs none of that. */
  const openLoopback = async ({ spec, options: { bridge }, bridgeIndex }: BridgedNetwork): Promise<void> => {
    if (options.firewall === "none") return;
    await sysctls.keep(loopbackSysctl(bridge), "1");
    if (!spec.subnets.some(({ subnet }) => subnet.address.family === 6)) return;
    await kernel.apply([loopbackRoute(bridgeIndex)]);
  };

  const publish = async (network: BridgedNetwork, request: Pick<JoinRequest, "networkId" | "endpointId" | "addresses" | "ports">): Promise<void> => {
    if (!request.ports?.length) return;
    const endpoint = { ...request, ports: request.ports };
    await Promise.all([answer(network, endpoint), ports.keep(request), serve(endpoint)]);
  };

  /** Where bridges call the firewall for IPv6 the host does not take what answers to ::1. */
  const serve = async (endpoint: PublishedEndpoint): Promise<void> => {
    const is6 = endpoint.ports.some(({ hostAddress }) => hostAddress.family === 6) && endpoint.addresses.some(({ address }) => address.family === 6);
    const loopback6 = ports.relays && is6 && (await kernel.readSysctls(["net/bridge/bridge-nf-call-ip6tables"]))[0]?.trim() === "1";
    await ports.serve(endpoint, loopback6);
    if (is6) await firewall.setRelayed6(loopback6);
  };

  const answer = async (network: BridgedNetwork, endpoint: PublishedEndpoint): Promise<void> => {
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

  const watchOver = async ({ spec, options: { guarded, icc } }: BridgedNetwork, request: RenumberedEndpoint, mac: Uint8Array): Promise<void> => {
    const port = { name: hostName(request.endpointId), mac, addresses: addressesOf(request).map(({ address }) => address), guarded: !request.trusted && guarded && spec.subnets.length > 0, secluded: !icc };
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
  const republish = async (network: BridgedNetwork, present: readonly string[]): Promise<void> => {
    const names = [...publishing].flatMap(([endpointId, id]) => (id === network.spec.id ? [hostName(endpointId)] : []));
    if (names.length > 0) await openLoopback(network);
    await kernel.apply(names.filter((name) => present.includes(name)).map(hairpinChange));
  };

  const repairBridges = createBridgeRepair({ kernel, alias, networks, annexes, joined, queue: (id, work) => changing.run(id, work), republish, attached, warn, repaired });
  const isBridge = (name: string): boolean => [...networks.values()].some(({ options: { bridge } }) => bridge === name) || annexes.hasName(name);
  const watchman = createWatchman({ kernel, warn, repaired, joined, isBridge, networkIds: () => [...networks.keys()], repairBridges });

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
      await annexes.adopt(spec.id);
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

  const renumber = async (network: BridgedNetwork, endpoint: RenumberedEndpoint): Promise<JoinResult> => {
    const mac = endpoint.mac ?? macOf(endpoint.addresses, () => localMac(randomBytes(6)));
    const { ports: published = [] } = endpoint;
    // What it may speak for first: no packet from a new address is lost.
    await watchOver(network, endpoint, mac);
    await annexes.settle(endpoint, hostName(endpoint.endpointId), mac);
    await renumberInterface(endpoint, mac);
    if (published.length > 0) await Promise.all([answer(network, { ...endpoint, ports: published }), serve({ ...endpoint, ports: published })]);
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
    await annexes.removeAll(networkId);
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
    validate: (spec) => {
      bridgeOptions(spec);
      if (([4, 6] as const).some((family) => spec.subnets.filter(({ subnet }) => subnet.address.family === family).length > 1)) throw forbidden("bridge driver doesn't support multiple subnets");
    },
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
        const steps = [attach(network, request, mac), publish(network, request), watchOver(network, request, mac)];
        const failed = (await Promise.allSettled(steps)).find(({ status }) => status === "rejected");
        if (failed?.status === "rejected") throw failed.reason;
      } catch (error) {
        joined.remove(request.endpointId);
        await guard.remove(hostName(request.endpointId));
        await interfaces.remove(request.endpointId).then(() => annexes.release(request.endpointId)).catch((second: unknown) => warn(`undoing a join: ${messageOf(second)}`));
        throw error;
      }
      return { mac };
    },

    leave: async ({ endpointId }: EndpointReference, from) => {
      interfaces.forget(endpointId);
      joined.remove(endpointId);
      await guard.remove(hostName(endpointId));
      await (from ? interfaces.remove(endpointId) : departures.wait(hostName(endpointId)));
      await annexes.release(endpointId);
    },

    silence: ({ endpointId }) => interfaces.silence(endpointId),

    provideSandbox: async (networkId, interfaceName, maps) => {
      find(networkId);
      return interfaceName === PREPARED_INTERFACE && maps === options.maps ? pool.take() : { endpointId: randomId(), sandbox: await kernel.createSandbox(undefined, maps) };
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
          await serve({ ...endpoint, ports: changed.ports });
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
        await serve(endpoint).catch((error: unknown) => warn(messageOf(error)));
      }
    },

    expectNetworks: (specs) => {
      for (const spec of specs) {
        const bridge = bridgeOptions(spec);
        expected.set(bridge.bridge, spec.id);
        firewall.setNetworkLater(spec.id, firewallNetwork(spec, bridge));
      }
    },

    recover: async (endpoints) => {
      endpoints.forEach(joined.add);
      const known = new Set([...interfaces.prepared(), ...endpoints.map(({ endpointId }) => endpointId)].map(hostName));
      await Promise.all([guard.recover(known), ports.recover(endpoints.map(({ endpointId }) => endpointId))]);
      for (const { spec, options: { bridge } } of networks.values()) expected.set(bridge, spec.id);
      const links = await kernel.links();
      const masters = new Map(links.map(({ name, master }) => [name, master]));
      await annexes.recover(endpoints.map((endpoint) => ({ endpoint, master: masters.get(hostName(endpoint.endpointId)) ?? 0 })));
      const isStale = ({ name, kind, alias: owner }: Link): boolean => {
        if (annexes.isNamedSo(name)) return !annexes.expects(name, expected.values());
        return kind === "veth" ? name.startsWith(prefix) && !known.has(name) : kind === "bridge" && owner === alias && !expected.has(name);
      };
      const stale = links.filter(isStale);
      const removals = await Promise.allSettled(stale.map(({ index }) => kernel.apply([{ op: "deleteLink", link: { index } }])));
      for (const removal of removals) if (removal.status === "rejected" && errnoCode(removal.reason) !== "ENODEV") warn(`removing a left-over interface: ${messageOf(removal.reason)}`);
    },

    believe: ({ endpointId }, addresses) => guard.believe(hostName(endpointId), addresses),

    onLoss: watchman.onLoss,
    checkEndpoints: watchman.checkEndpoints,

    rejoin: async (request) => {
      if (!joined.has(request.endpointId) || (await kernel.link(hostName(request.endpointId)))) return false;
      const port = annexes.portOf(request);
      if (!port) return false;
      await interfaces.join(port, request, request.mac);
      await annexes.settle(request, hostName(request.endpointId), request.mac);
      if (joined.has(request.endpointId)) return true;
      await interfaces.remove(request.endpointId);
      return false;
    },

    furtherBridges: annexes.bridgesOf,

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
