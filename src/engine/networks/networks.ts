/**
 * The networks of the engine: connecting a container's sandbox at its start, changing it while it runs, and giving back what it
 * took at its end.
 *
 *   start:   connect ─▶ (the runtime's init joins netnsFd) ─▶ started
 *   running: attach, detach        one network more, one less
 *   end:     disconnect            answers at once; the addresses are free when the kernel has removed the interfaces
 *   daemon:  createNetworks ─▶ (containers are recovered) ─▶ collect
 */
import type { DatabaseSync } from "node:sqlite";
import type { ContainerRecord, SandboxState } from "../../core/container.ts";
import type { EndpointSettings } from "../../core/container-config.ts";
import type { EventSink } from "../../core/events.ts";
import type { Ipam, PoolUsage } from "../../core/ipam.ts";
import type { NameService } from "../../core/name-service.ts";
import type { NetworkDriver, SandboxNamespace } from "../../core/network.ts";
import { publishesPorts } from "../../core/network-ports.ts";
import { namesBridges, providesSandboxes } from "../../core/network.ts";
import { messageOf } from "../../lib/errors.ts";
import type { IpAddress, IpPrefix } from "../../lib/ip.ts";
import { formatPrefix, parsePrefix } from "../../lib/ip.ts";
import type { UserMaps } from "../../lib/user-maps.ts";
import type { SandboxPort } from "../containers/lifecycle/context.ts";
import { createConnections } from "./connections.ts";
import { familyOf } from "./definition.ts";
import type { IpamEntry, NetworkCreation, NetworkDefinition } from "./definition.ts";
import { ended } from "./departures.ts";
import { formatIp } from "../../lib/ip.ts";
import type { NetworkMove } from "./move.ts";
import { watchOverlaps, type HostRoutes } from "./overlaps.ts";
import { openBridgeNetwork, plainNetwork } from "./predefined.ts";
import type { DefaultBridgeSettings, Network } from "./predefined.ts";
import { publishedPorts } from "./port-requests.ts";
import type { LivePorts, PublishedChange } from "./publishing.ts";
import { type NetworkPlugins, NetworkRegistry } from "./registry.ts";
import type { HostFiles } from "./sandbox-contents.ts";
import { createNetworkStore } from "./store.ts";
import type { NetworkStore } from "./store.ts";
import type { DnsSettings } from "./resolv-conf.ts";

/** The user namespace of a sandbox: a new one with these maps, or that of a process. */
export type SandboxOwner = { maps: UserMaps } | { pid: number };

export interface NetworksOptions {
  database: DatabaseSync;
  /** By the names that `--driver` has. */
  drivers: { bridge: NetworkDriver; host: NetworkDriver; null: NetworkDriver; macvlan?: NetworkDriver; ipvlan?: NetworkDriver };
  ipam: Ipam;
  /** Drivers and IPAMs of others. */
  plugins?: NetworkPlugins;
  /** A new namespace with loopback up, of that user namespace or else of ours. */
  createSandbox: (owner?: SandboxOwner) => Promise<SandboxNamespace>;
  /** Of the user namespace that a container has for itself; undefined with the host's. */
  mapsOf?: (record: ContainerRecord) => UserMaps | undefined;
  /** That of a process, as /proc/PID/ns/net. */
  openSandbox: (path: string) => SandboxNamespace;
  /** In a sandbox: default routes through these, at the interface of that name. */
  setDefaultRoutes: (sandbox: SandboxNamespace, interfaceName: string, gateways: readonly IpAddress[]) => Promise<void>;
  /** What the host routes now. */
  hostPrefixes: () => Promise<readonly IpPrefix[]>;
  /** Absent: nobody looks for routes that lead where containers are. */
  hostRoutes?: HostRoutes;
  /** Absent: --bridge none. */
  defaultBridge?: DefaultBridgeSettings;
  /** --default-network-opt: of new networks that name none of their own, by driver. */
  defaultOptions: Readonly<Record<string, Readonly<Record<string, string>>>>;
  events: EventSink;
  /** The container that "container:REF" names. Throws Docker's not-found. */
  findContainer: (ref: string) => ContainerRecord;
  /** Writes a changed record down. */
  saveContainer: (record: ContainerRecord) => void;
  /** The engine's own folder of a container. */
  containerFolder: (id: string) => string;
  hostFiles: HostFiles;
  /** The daemon's --dns, --dns-search and --dns-opt. */
  dns: DnsSettings;
  /** --host-gateway-ip; empty: the default bridge's gateway. */
  hostGateways: readonly string[];
  /** Answers names on user-defined networks; absent: their containers ask the host's servers. */
  names?: NameService;
  /** Something of ours was made again after another program took it away. */
  repaired?: (what: string) => void;
  warn: (message: string) => void;
}

export interface Networks extends SandboxPort {
  list(): NetworkView[];
  /** By name, id or the unambiguous beginning of an id. Throws Docker's not-found. */
  find(ref: string): NetworkView;
  /** How full its subnets are, by their text; without those whose IPAM does not tell. */
  usage(ref: string): Promise<Record<string, PoolUsage>>;
  create(creation: NetworkCreation): Promise<NetworkView>;
  /** One that nothing is connected to. Throws Docker's refusals. */
  remove(ref: string): Promise<NetworkView>;
  /** Connects a running container to one network more. */
  attach(record: ContainerRecord, network: string, settings: EndpointSettings): Promise<SandboxState>;
  /** Takes one of its networks from a running container. */
  detach(record: ContainerRecord, network: string): Promise<SandboxState>;
  /** Other subnets for a network with everything that is connected. */
  move(ref: string, move: NetworkMove): Promise<void>;
  /** Other published ports for a running container: all that is asked for is reserved when this resolves. */
  changePorts(record: ContainerRecord, change: PublishedChange): Promise<LivePorts>;
  /** A container has another name, by which others find it. */
  renamed(record: ContainerRecord): Promise<void>;
  /** A container has other legacy links; these were the addresses of one that it lost. */
  relinked(record: ContainerRecord, gone: readonly IpPrefix[]): Promise<void>;
  /** The kinds that `info` lists as network plugins. */
  drivers(): string[];
  /** Gives back what containers hold that do not run any more. Called once, after the containers were recovered. */
  collect(isRunning: (containerId: string) => boolean): Promise<void>;
  /** Resolves when what drivers prepare ahead is ready. */
  prepared(): Promise<void>;
  /** Connected containers stay connected; what no container needs is taken from the machine until the next start. */
  close(): Promise<void>;
}

export interface NetworkView extends NetworkDefinition {
  id: string;
  name: string;
  created: string;
  /** Nobody made it: every daemon has it. */
  predefined: boolean;
  subnets: IpPrefix[];
  /** Besides its own one: of a network with more containers than a bridge has ports for. */
  furtherBridges: readonly string[];
  /** Of the running containers. */
  endpoints: { container: string; endpoint: string; addresses: IpPrefix[]; mac: string }[];
}

export async function createNetworks(options: NetworksOptions): Promise<Networks> {
  const store = createNetworkStore(options.database);
  const drivers = options.drivers;
  await restorePorts(store, drivers.bridge);
  const registry = new NetworkRegistry({ store, drivers: { ...drivers }, ipam: options.ipam, ...(options.plugins && { plugins: options.plugins }), hostPrefixes: options.hostPrefixes, defaultOptions: options.defaultOptions, warn: options.warn });
  registry.announce();
  if (options.defaultBridge) registry.add(await openBridgeNetwork({ store, driver: drivers.bridge, ipam: options.ipam, settings: options.defaultBridge, warn: options.warn }));
  registry.add(plainNetwork(store, "host", drivers.host));
  registry.add(plainNetwork(store, "none", drivers.null));
  await registry.restore();
  const connections = createConnections({ ...options, store, registry });
  await connections.adopt();
  const overlapping = options.hostRoutes && (await watchOverlaps({ routes: options.hostRoutes, networks: () => registry.list(), events: options.events, warn: options.warn }));

  const view = (network: Network): NetworkView => ({ ...describeNetwork(network), endpoints: connections.endpointsOf(network).map(({ container, endpoint: { endpointId, addresses, mac } }) => ({ container, endpoint: endpointId, addresses, mac })) });
  const tell = (action: "create" | "destroy", { row, driver }: Network): void => options.events.emit({ type: "network", action, actor: { id: row.id, attributes: { name: row.name, type: driver.id } } });

  return {
    ...connections.port,
    list: () => registry.list().map(view),
    find: (ref) => view(registry.find(ref)),
    usage: (ref) => connections.usage(registry.find(ref)),
    create: async (creation) => {
      const network = await registry.create(creation);
      tell("create", network);
      return view(network);
    },
    remove: async (ref) => {
      const network = registry.find(ref);
      const names = (): string[] => connections.endpointsOf(network).map(({ container, endpoint }) => `name:${JSON.stringify(containerName(container))} id:"${endpoint.endpointId.slice(0, 12)}"`);
      await ended(() => connections.endpointsOf(network).map(({ container }) => container), options.findContainer);
      await registry.remove(network, names);
      tell("destroy", network);
      return view(network);
    },
    attach: (record, ref, settings) => connections.attach(record, registry.find(ref), settings),
    detach: (record, ref) => connections.detach(record, registry.find(ref)),
    move: async (ref, move) => {
      const network = registry.find(ref);
      await connections.move(network, move);
      const { row, driver, pools } = network;
      options.events.emit({ type: "network", action: "move", actor: { id: row.id, attributes: { name: row.name, type: driver.id, subnets: pools.map(({ subnet }) => formatPrefix(subnet)).join(",") } } });
    },
    changePorts: connections.changePorts,
    renamed: connections.renamed,
    relinked: connections.relinked,
    drivers: () => [...Object.values(drivers).map(({ id }) => id), ...(options.plugins?.active() ?? [])],
    collect: connections.collect,
    prepared: async () => {
      for (const driver of Object.values(drivers)) if (providesSandboxes(driver)) await driver.prepared();
    },
    close: async () => {
      overlapping?.close();
      store.settle();
      await letGo();
      for (const driver of Object.values(drivers)) await driver.close();
    },
  };

  /** Where no container is connected, the machine gets back what the networks took of it: the next start makes it anew. */
  async function letGo(): Promise<void> {
    const networks = registry.list();
    if (networks.some((network) => connections.endpointsOf(network).length > 0)) return;
    for (const { row, driver } of networks) await driver.deleteNetwork(row.id).catch((error: unknown) => options.warn(`letting go of network ${row.name}: ${messageOf(error)}`));
  }

  function containerName(id: string): string {
    try {
      return options.findContainer(id).name;
    } catch {
      return id;
    }
  }
}

/** Before the networks are made, so that they are made with them. */
async function restorePorts(store: NetworkStore, driver: NetworkDriver): Promise<void> {
  const rows = store.endpoints().filter(({ ports }) => ports.length > 0);
  if (rows.length === 0 || !publishesPorts(driver)) return;
  await driver.restorePorts(rows.map(({ network, endpoint, addresses, ports }) => ({ networkId: network, endpointId: endpoint, addresses: addresses.flatMap((text) => parsePrefix(text) ?? []), ports: publishedPorts(ports) })));
}

function describeNetwork({ row, driver, definition, spec, pools }: Network): Omit<NetworkView, "endpoints"> {
  const config = pools.map(({ subnet, gateway, range }): IpamEntry => ({ subnet: formatPrefix(subnet), range: range ? formatPrefix(range) : "", gateway: gateway ? formatIp(gateway) : "", aux: null }));
  const shown = definition ?? { internal: false, attachable: false, ipv4: true, ipv6: pools.some(({ subnet }) => subnet.address.family === 6), ipam: { driver: "default", options: null, config }, labels: {}, configFrom: "", configOnly: false };
  const { internal, attachable, ipv4, ipv6, ipam, labels, configFrom, configOnly } = shown;
  return {
    id: row.id,
    name: row.name,
    driver: driver.id,
    created: row.created,
    scope: definition && !["", "local"].includes(definition.scope) ? definition.scope : driver.capabilities.scope,
    predefined: definition === undefined,
    options: spec.options,
    internal,
    attachable,
    ipv4,
    ipv6,
    ipam: { ...ipam, config: configOnly ? [] : ipam.config.filter((entry) => (familyOf(entry) === 4 ? ipv4 : ipv6)) },
    labels,
    configFrom,
    configOnly,
    subnets: spec.subnets.map(({ subnet }) => subnet),
    furtherBridges: namesBridges(driver) ? driver.furtherBridges(row.id) : [],
  };
}
