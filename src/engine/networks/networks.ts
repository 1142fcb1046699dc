/**
 * The networks of the engine: connecting a container's sandbox at its start and giving back what it took at its end.
 *
 *   start:  connect ─▶ (the runtime's init joins netnsFd) ─▶ started
 *   end:    disconnect            answers at once; the address is free when the kernel has removed the interface
 *   daemon: createNetworks ─▶ (containers are recovered) ─▶ collect
 */
import type { DatabaseSync } from "node:sqlite";
import { randomBytes } from "node:crypto";
import type { ContainerRecord } from "../../core/container.ts";
import type { EventSink } from "../../core/events.ts";
import type { Ipam } from "../../core/ipam.ts";
import type { NetworkDriver, SandboxNamespace } from "../../core/network.ts";
import type { NameService } from "../../core/name-service.ts";
import { publishesPorts } from "../../core/network-ports.ts";
import type { PublishedPort } from "../../core/network-ports.ts";
import { providesSandboxes, recoversEndpoints } from "../../core/network.ts";
import { GantryError, codeOf, conflict, messageOf, notFound } from "../../lib/errors.ts";
import { faultPoint } from "../../lib/fault.ts";
import { formatIp, formatPrefix, parsePrefix } from "../../lib/ip.ts";
import type { IpPrefix } from "../../lib/ip.ts";
import { formatMac, parseMac } from "../../lib/mac.ts";
import type { Sandbox, SandboxPort } from "../containers/lifecycle/context.ts";
import { containerOf } from "../containers/modes.ts";
import { openBridgeNetwork, plainNetwork } from "./predefined.ts";
import type { DefaultBridgeSettings, Network } from "./predefined.ts";
import { portRequests, publishedPorts, storedPorts } from "./port-requests.ts";
import { sandboxContents } from "./sandbox-contents.ts";
import type { HostFiles } from "./sandbox-contents.ts";
import { sandboxPaths, writeSandboxFiles } from "./sandbox-files.ts";
import { createNetworkStore } from "./store.ts";
import type { DnsSettings } from "./resolv-conf.ts";

export interface NetworksOptions {
  database: DatabaseSync;
  drivers: { bridge: NetworkDriver; host: NetworkDriver; null: NetworkDriver };
  ipam: Ipam;
  /** A new namespace with loopback up. */
  createSandbox: () => Promise<SandboxNamespace>;
  /** Absent: --bridge none. */
  defaultBridge?: DefaultBridgeSettings;
  events: EventSink;
  /** The container that "container:REF" names. Throws Docker's not-found. */
  findContainer: (ref: string) => ContainerRecord;
  /** The engine's own folder of a container. */
  containerFolder: (id: string) => string;
  hostFiles: HostFiles;
  /** The daemon's --dns, --dns-search and --dns-opt. */
  dns: DnsSettings;
  /** --host-gateway-ip; empty: the default bridge's gateway. */
  hostGateways: readonly string[];
  /** Answers names on user-defined networks; absent: their containers ask the host's servers. */
  names?: NameService;
  warn: (message: string) => void;
}

export interface Networks extends SandboxPort {
  /** Of a network by name or id; undefined when there is no such network. */
  subnetsOf(network: string): readonly IpPrefix[] | undefined;
  list(): NetworkView[];
  /** By name, id or the unambiguous beginning of an id. Throws Docker's not-found. */
  find(ref: string): NetworkView;
  /** The kinds that `info` lists as network plugins. */
  drivers(): string[];
  /** Gives back what containers hold that do not run any more. Called once, after the containers were recovered. */
  collect(isRunning: (containerId: string) => boolean): Promise<void>;
  /** Resolves when what drivers prepare ahead is ready. */
  prepared(): Promise<void>;
  /** Networks and connected containers stay as they are. */
  close(): Promise<void>;
}

export interface NetworkView {
  id: string;
  name: string;
  driver: string;
  created: string;
  scope: "local" | "global";
  options: Record<string, string>;
  pool?: { subnet: string; gateway: string; range?: string };
  /** Of the running containers. */
  endpoints: { container: string; endpoint: string; address: string; mac: string }[];
}

interface Connection {
  network: Network;
  endpointId: string;
  address?: IpPrefix;
  /** Published; absent: none. */
  ports?: PublishedPort[];
  mac: string;
  sandbox?: SandboxNamespace;
  /** The connect event was sent, or a daemon before this one sent it. */
  told: boolean;
}

export async function createNetworks(options: NetworksOptions): Promise<Networks> {
  const store = createNetworkStore(options.database);
  const networks: Network[] = [];
  await restorePorts();
  if (options.defaultBridge) networks.push(await openBridgeNetwork({ store, driver: options.drivers.bridge, ipam: options.ipam, settings: options.defaultBridge, warn: options.warn }));
  networks.push(plainNetwork(store, "host", options.drivers.host), plainNetwork(store, "none", options.drivers.null));
  const connections = new Map<string, Connection>();
  const released = new Set<Promise<void>>();
  const byName = (name: string): Network => {
    const network = networks.find(({ spec }) => spec.name === name);
    if (!network) throw notFound(`network ${name} not found`);
    return network;
  };
  await adoptEndpoints();

  /** Before the networks are made, so that they are made with them. Only networks of this driver publish. */
  async function restorePorts(): Promise<void> {
    const driver = options.drivers.bridge;
    const rows = store.endpoints().filter(({ ports }) => ports.length > 0);
    if (rows.length === 0 || !publishesPorts(driver)) return;
    await driver.restorePorts(rows.map(({ network, endpoint, address, ports }) => ({ networkId: network, endpointId: endpoint, addresses: [parsePrefix(address ?? "") ?? []].flat(), ports: publishedPorts(ports) })));
  }

  /** What the last daemon's containers hold stays theirs until collect() says otherwise. */
  async function adoptEndpoints(): Promise<void> {
    for (const row of store.endpoints()) {
      const network = networks.find(({ row: { id } }) => id === row.network);
      const address = row.address === undefined ? undefined : parsePrefix(row.address);
      if (!network) continue;
      if (network.pool && address) await options.ipam.requestAddress(network.pool.id, address.address).catch((error: unknown) => options.warn(`the address ${row.address} of container ${row.container}: ${messageOf(error)}`));
      connections.set(row.container, { network, endpointId: row.endpoint, mac: "", told: true, ...(address ? { address } : {}), ...(row.ports.length > 0 ? { ports: publishedPorts(row.ports) } : {}) });
    }
    for (const driver of new Set(networks.map((network) => network.driver))) {
      const own = [...connections.values()].filter(({ network }) => network.driver === driver);
      if (recoversEndpoints(driver)) await driver.recover(own.map(({ network, endpointId }) => ({ networkId: network.row.id, endpointId })));
    }
  }

  async function connect(record: ContainerRecord): Promise<Sandbox> {
    const mode = record.hostConfig.NetworkMode;
    const other = containerOf(mode);
    if (other !== undefined) return joinContainer(record, other);
    if (connections.has(record.id)) await disconnect(record);
    const network = byName(record.config.NetworkDisabled ? "none" : predefinedName(mode));
    const connection: Connection = { network, endpointId: randomBytes(32).toString("hex"), mac: "", told: false };
    connections.set(record.id, connection);
    const taking = takeSandbox(network, connection);
    try {
      const [address] = await Promise.all([chooseAddress(network), taking]);
      if (address) connection.address = address;
      await reservePorts(record, connection);
      return await attach(record, connection);
    } catch (error) {
      await taking.catch(() => undefined);
      await disconnect(record);
      throw error;
    }
  }

  async function takeSandbox({ driver, row }: Network, connection: Connection): Promise<void> {
    if (driver.capabilities.sandbox !== "own") return;
    if (providesSandboxes(driver)) Object.assign(connection, await driver.provideSandbox(row.id));
    else connection.sandbox = await options.createSandbox();
  }

  /** Docker's words for what cannot be had. */
  async function reservePorts(record: ContainerRecord, connection: Connection): Promise<void> {
    const { network, endpointId } = connection;
    if (!publishesPorts(network.driver)) return;
    const requests = portRequests(record);
    if (requests.length === 0) return;
    try {
      connection.ports = await network.driver.reservePorts({ networkId: network.row.id, endpointId }, requests);
      faultPoint("ports-reserved");
    } catch (error) {
      if (codeOf(error) !== "system") throw error;
      throw new GantryError("system", `failed to set up container networking: driver failed programming external connectivity on endpoint ${record.name} (${endpointId}): ${messageOf(error)}`, { cause: error });
    }
  }

  async function releasePorts({ network, endpointId, ports }: Connection): Promise<void> {
    if (!ports || !publishesPorts(network.driver)) return;
    await network.driver.releasePorts({ networkId: network.row.id, endpointId }).catch((error: unknown) => options.warn(messageOf(error)));
    faultPoint("ports-released");
  }

  /** When only addresses on their way back are left, waits for them. */
  async function chooseAddress(network: Network): Promise<IpPrefix | undefined> {
    if (!network.pool) return undefined;
    for (;;) {
      try {
        return await options.ipam.requestAddress(network.pool.id);
      } catch (error) {
        if (!(error instanceof GantryError && error.code === "unavailable") || released.size === 0) throw error;
        await Promise.race(released);
      }
    }
  }

  /** The files and the row are written while the kernel makes the interface on another thread. */
  async function attach(record: ContainerRecord, connection: Connection): Promise<Sandbox> {
    const { network, endpointId, address, sandbox, ports = [] } = connection;
    const settings = record.networkingConfig.EndpointsConfig?.[network.spec.name];
    const mac = parseMac(settings?.MacAddress ?? "");
    store.addEndpoint({ container: record.id, network: network.row.id, endpoint: endpointId, address: address && formatPrefix(address), ports: storedPorts(ports) });
    if (ports.length > 0) faultPoint("ports-recorded");
    const joining = sandbox && network.driver.join({ networkId: network.row.id, endpointId, sandbox, interfaceName: "eth0", addresses: address ? [address] : [], gateways: network.pool ? [network.pool.gateway] : [], ...(mac ? { mac } : {}), ...(ports.length > 0 ? { ports } : {}) });
    joining?.catch(() => undefined);
    const files = writeSandboxFiles(options.containerFolder(record.id), contentsFor(record, connection));
    connection.mac = formatMac((await joining)?.mac ?? new Uint8Array());
    connection.told = true;
    tell("connect", record, network);
    return {
      ...(sandbox ? { netnsFd: sandbox.fd } : {}),
      endpoint: {
        networkName: network.spec.name,
        networkId: network.row.id,
        endpointId,
        sandboxId: randomBytes(32).toString("hex"),
        sandboxKey: "",
        ipAddress: address ? formatIp(address.address) : "",
        prefixLength: address?.length ?? 0,
        gateway: address && network.pool ? formatIp(network.pool.gateway) : "",
        macAddress: connection.mac,
        ...(ports.length > 0 ? { ports: storedPorts(ports) } : {}),
      },
      files,
    };
  }

  function contentsFor(record: ContainerRecord, { network, address }: Connection): ReturnType<typeof sandboxContents> {
    const gateway = networks.find(({ pool }) => pool)?.pool?.gateway;
    return sandboxContents({
      config: record.config,
      hostConfig: record.hostConfig,
      host: options.hostFiles,
      shared: network.driver.capabilities.sandbox === "host",
      daemonDns: options.dns,
      hostGateways: options.hostGateways.length > 0 ? options.hostGateways : gateway ? [formatIp(gateway)] : [],
      ...(address ? { address: formatIp(address.address) } : {}),
    });
  }

  function joinContainer(record: ContainerRecord, ref: string): Sandbox {
    const other = options.findContainer(ref);
    if (other.id === record.id) throw new GantryError("system", "cannot join own network namespace");
    const { state } = other;
    if (state.status === "restarting") throw conflict(`Container ${other.id} is restarting, wait until the container is running`);
    if (state.status !== "running" && state.status !== "paused") throw conflict(`cannot join network namespace of a non running container: container ${other.name} is ${state.status}`);
    return { netnsPath: `/proc/${state.pid}/ns/net`, files: sandboxPaths(options.containerFolder(other.id)) };
  }

  async function disconnect(record: { id: string }): Promise<void> {
    const connection = connections.get(record.id);
    if (!connection) return;
    connections.delete(record.id);
    connection.sandbox?.close();
    // While the row is there, a crash leaves no reservation that nobody knows of.
    if (connection.ports) await releasePorts(connection);
    store.removeEndpoints(record.id);
    if (connection.told) tell("disconnect", record, connection.network);
    const done = release(connection);
    released.add(done);
    void done.finally(() => released.delete(done));
  }

  async function release({ network, endpointId, address }: Connection): Promise<void> {
    try {
      await network.driver.leave({ networkId: network.row.id, endpointId });
    } catch (error) {
      options.warn(`leaving network ${network.spec.name}: ${messageOf(error)}`);
    }
    if (network.pool && address) await options.ipam.releaseAddress(network.pool.id, address.address);
  }

  function tell(action: "connect" | "disconnect", record: { id: string }, network: Network): void {
    options.events.emit({ type: "network", action, actor: { id: network.row.id, attributes: { container: record.id, name: network.spec.name, type: network.driver.id } } });
  }

  const view = (network: Network): NetworkView => ({
    id: network.row.id,
    name: network.spec.name,
    driver: network.driver.id,
    created: network.row.created,
    scope: network.driver.capabilities.scope,
    options: network.spec.options,
    ...(network.pool ? { pool: { subnet: formatPrefix(network.pool.subnet), gateway: formatIp(network.pool.gateway), ...(network.pool.range ? { range: formatPrefix(network.pool.range) } : {}) } } : {}),
    endpoints: [...connections].filter(([, connection]) => connection.network === network).map(([container, { endpointId, address, mac }]) => ({ container, endpoint: endpointId, address: address ? formatPrefix(address) : "", mac })),
  });

  return {
    connect,
    disconnect,
    started: (record) => {
      const connection = connections.get(record.id);
      connection?.sandbox?.close();
      delete connection?.sandbox;
    },
    subnetsOf: (name) => {
      const network = networks.find(({ spec, row }) => spec.name === predefinedName(name) || row.id === name);
      return network && network.spec.subnets.map(({ subnet }) => subnet);
    },
    list: () => networks.map(view),
    find: (ref) => view(findNetwork(networks, ref)),
    drivers: () => Object.values(options.drivers).map(({ id }) => id),
    collect: async (isRunning) => {
      for (const id of [...connections.keys()]) if (!isRunning(id)) await disconnect({ id });
    },
    prepared: async () => {
      for (const { driver } of networks) if (providesSandboxes(driver)) await driver.prepared();
    },
    close: async () => {
      for (const driver of Object.values(options.drivers)) await driver.close();
    },
  };
}

/** What "default" stands for. */
const predefinedName = (mode: string): string => (mode === "" || mode === "default" ? "bridge" : mode);

/** Docker's order: the whole id, the name, the beginning of an id. */
function findNetwork(networks: readonly Network[], ref: string): Network {
  const exact = networks.find(({ row }) => row.id === ref) ?? networks.find(({ row }) => row.name === ref);
  if (exact) return exact;
  const [found, second] = networks.filter(({ row }) => ref !== "" && row.id.startsWith(ref));
  if (second) throw new GantryError("invalid-parameter", `network ${ref} is ambiguous (2 matches found based on ID prefix)`);
  if (!found) throw notFound(`network ${ref} not found`);
  return found;
}
