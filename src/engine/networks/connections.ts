/** Containers in networks: their sandboxes, endpoint by endpoint. */
import type { EndpointSettings } from "../../core/container-config.ts";
import type { ContainerRecord, SandboxState } from "../../core/container.ts";
import type { SandboxNamespace } from "../../core/network.ts";
import type { PoolUsage } from "../../core/ipam.ts";
import { guardsEndpoints, silencesEndpoints, providesSandboxes, recoversEndpoints, restoresEndpoints } from "../../core/network.ts";
import { GantryError, codeOf, conflict, forbidden, messageOf, systemError } from "../../lib/errors.ts";
import { faultPoint } from "../../lib/fault.ts";
import { parsePrefix } from "../../lib/ip.ts";
import type { IpFamily, IpPrefix } from "../../lib/ip.ts";
import { formatMac } from "../../lib/mac.ts";
import { randomId } from "../../lib/random-id.ts";
import type { Sandbox, SandboxPort } from "../containers/lifecycle/context.ts";
import { containerOf, isUserDefined } from "../containers/modes.ts";
import { createAddresses } from "./addresses.ts";
import { familiesOf, interfaceNameFor, linkLocalAddresses, settingsFor } from "./endpoint-options.ts";
import { createLinkKeeper } from "./link-keeper.ts";
import type { NetworksOptions, SandboxOwner } from "./networks.ts";
import { publishedPorts } from "./port-requests.ts";
import { mendEndpoints } from "./mend.ts";
import type { Network } from "./predefined.ts";
import { createMover } from "./move.ts";
import type { Member, NetworkMove } from "./move.ts";
import { leadOutside } from "./outside.ts";
import { createPublishing } from "./publishing.ts";
import type { LivePorts, PublishedChange } from "./publishing.ts";
import type { NetworkRegistry } from "./registry.ts";
import { hasLinks, linkVariables, requireLinked } from "./links.ts";
import { createSandboxNames } from "./sandbox-names.ts";
import { sandboxPaths } from "./sandbox-files.ts";
import { endpointRow, gatewayEndpoints, joinRequest, routesThrough, stateOf } from "./sandbox.ts";
import type { ContainerSandbox, Endpoint } from "./sandbox.ts";
import type { NetworkStore } from "./store.ts";

interface ConnectionsOptions extends NetworksOptions {
  store: NetworkStore;
  registry: NetworkRegistry;
}

export interface Connections {
  port: SandboxPort;
  attach(record: ContainerRecord, network: Network, settings: EndpointSettings): Promise<SandboxState>;
  detach(record: ContainerRecord, network: Network): Promise<SandboxState>;
  /** Other published ports for a running container. */
  changePorts(record: ContainerRecord, change: PublishedChange): Promise<LivePorts>;
  renamed(record: ContainerRecord): Promise<void>;
  /** A running container has other legacy links; these were the addresses of one that it lost. */
  relinked(record: ContainerRecord, gone: readonly IpPrefix[]): Promise<void>;
  /** How full its subnets are, by their text; without those whose IPAM does not tell. */
  usage(network: Network): Promise<Record<string, PoolUsage>>;
  /** Other subnets for a network with containers that run. */
  move(network: Network, move: NetworkMove): Promise<void>;
  endpointsOf(network: Network): { container: string; endpoint: Endpoint }[];
  /** What the last daemon's containers hold stays theirs until collect() says otherwise. */
  adopt(): Promise<void>;
  collect(isRunning: (containerId: string) => boolean): Promise<void>;
}


export function createConnections(options: ConnectionsOptions): Connections {
  const { store, registry, warn } = options;
  const sandboxes = new Map<string, ContainerSandbox>();
  const addresses = createAddresses();
  const names = createSandboxNames(options);
  const publishing = createPublishing(options);
  const links = createLinkKeeper({ sandboxes, names, findContainer: options.findContainer, warn });
  mendEndpoints({ ...options, drivers: Object.values(options.drivers), sandboxes, recordOf });
  const mover = createMover({ ...options, names, membersOf, believe });

  async function connect(record: ContainerRecord): Promise<Sandbox> {
    const other = containerOf(record.hostConfig.NetworkMode);
    if (other !== undefined) return joinContainer(record, other);
    if (!isUserDefined(record.hostConfig.NetworkMode)) requireLinked(record, options.findContainer);
    const env = linkVariables(record, options.findContainer);
    if (sandboxes.has(record.id)) await disconnect(record);
    const sandbox: ContainerSandbox = { id: randomId(), endpoints: [], named: false, linked: hasLinks(record) };
    sandboxes.set(record.id, sandbox);
    let taking = Promise.resolve();
    try {
      const networks = networksFor(record);
      await mover.settled(networks);
      for (const network of networks) newEndpoint(sandbox, network, settingsFor(record.networkingConfig, network, record.hostConfig.NetworkMode));
      taking = takeSandbox(sandbox, sandbox.endpoints[0], sandboxOwner(record));
      await Promise.all([taking, ...sandbox.endpoints.map(async (endpoint) => void (endpoint.addresses = await addresses.choose(endpoint.network, endpoint.settings, familiesOf(record, endpoint.settings))))]);
      await publishing.reserve(record, sandbox);
      const files = await joinAll(record, sandbox);
      return { ...(sandbox.namespace ? { netnsFd: sandbox.namespace.fd } : {}), network: stateOf(sandbox), files, env };
    } catch (error) {
      await taking.catch(() => undefined);
      await disconnect(record);
      throw new GantryError(codeOf(error), `failed to set up container networking: ${messageOf(error)}`, { cause: error });
    }
  }

  /** The main one first. */
  function networksFor({ config, hostConfig, networkingConfig }: ContainerRecord): Network[] {
    if (config.NetworkDisabled) return [registry.find("none")];
    const main = hostConfig.NetworkMode;
    const asked = Object.keys(networkingConfig.EndpointsConfig ?? { [main]: null });
    const sorted = asked.includes(main) ? [main, ...asked] : asked;
    // With --bridge none the default network is none.
    const there = sorted.map(predefinedName).filter((ref) => ref !== "bridge" || options.defaultBridge);
    return [...new Set((there.length === 0 ? ["none"] : there).map((ref) => registry.find(ref)))];
  }

  function newEndpoint(sandbox: ContainerSandbox, network: Network, settings: EndpointSettings): Endpoint {
    const slots = new Set(sandbox.endpoints.map(({ slot }) => slot));
    let slot = 0;
    while (slots.has(slot)) slot++;
    const interfaceName = interfaceNameFor(settings, network, sandbox.endpoints.map((endpoint) => endpoint.interfaceName));
    const endpoint: Endpoint = { network, endpointId: randomId(), settings, slot, interfaceName, addresses: [], extraAddresses: linkLocalAddresses(settings), mac: "", told: false };
    sandbox.endpoints.push(endpoint);
    return endpoint;
  }

  /** A container that shares another's processes or IPC shares its user namespace, which owns both. */
  function sandboxOwner(record: ContainerRecord): SandboxOwner | undefined {
    const maps = options.mapsOf?.(record);
    const other = containerOf(record.hostConfig.PidMode) ?? containerOf(record.hostConfig.IpcMode);
    const state = maps && other !== undefined ? recordOf(other)?.state : undefined;
    if (state?.status === "running" || state?.status === "paused") return { pid: state.pid };
    return maps && { maps };
  }

  /** Each belongs to the user namespace of its container: elsewhere that one's root has no rights. */
  async function takeSandbox(sandbox: ContainerSandbox, endpoint: Endpoint | undefined, owner: SandboxOwner | undefined): Promise<void> {
    const driver = endpoint?.network.driver;
    if (!endpoint || driver?.capabilities.sandbox !== "own") return;
    if ((owner && "pid" in owner) || !providesSandboxes(driver)) return void (sandbox.namespace = await options.createSandbox(owner));
    const provided = await driver.provideSandbox(endpoint.network.row.id, endpoint.interfaceName, owner?.maps);
    endpoint.endpointId = provided.endpointId;
    sandbox.namespace = provided.sandbox;
  }

  /** The files and the rows are written while the kernel makes the interfaces on other threads. */
  async function joinAll(record: ContainerRecord, sandbox: ContainerSandbox): Promise<NonNullable<Sandbox["files"]>> {
    for (const endpoint of sandbox.endpoints) store.addEndpoint(endpointRow(record.id, sandbox.id, endpoint));
    faultPoint("endpoint-recorded");
    if (sandbox.endpoints.some(({ ports }) => ports)) faultPoint("ports-recorded");
    const chosen = gatewayEndpoints(sandbox.endpoints);
    const { namespace } = sandbox;
    const joining = namespace ? Promise.allSettled(sandbox.endpoints.map((endpoint) => join(endpoint, namespace, { chosen, trusted: record.hostConfig.Privileged }))) : undefined;
    const files = names.write(record, sandbox);
    const failed = (await joining)?.find(({ status }) => status === "rejected");
    if (failed?.status === "rejected") throw failed.reason;
    faultPoint("endpoint-joined");
    await leadOutside(record, sandbox);
    if (sandbox.endpoints.length > 1) await believe(sandbox);
    await names.serve(record, sandbox);
    await links.refresh();
    for (const endpoint of sandbox.endpoints) tell("connect", record, endpoint);
    return files;
  }

  async function join(endpoint: Endpoint, sandbox: SandboxNamespace, { chosen, trusted, firstRoutes }: { chosen: ReturnType<typeof gatewayEndpoints>; trusted: boolean; firstRoutes?: readonly IpFamily[] }): Promise<void> {
    const request = joinRequest(endpoint, sandbox, { gateways: routesThrough(endpoint, chosen), trusted });
    const joined = await endpoint.network.driver.join({ ...request, ...(firstRoutes ? { firstRoutes } : {}) });
    endpoint.mac = formatMac(joined.mac);
  }

  function joinContainer(record: ContainerRecord, ref: string): Sandbox {
    const other = options.findContainer(ref);
    if (other.id === record.id) throw systemError("cannot join own network namespace");
    const { state } = other;
    if (state.status === "restarting") throw conflict(`Container ${other.id} is restarting, wait until the container is running`);
    if (state.status !== "running" && state.status !== "paused") throw conflict(`cannot join network namespace of a non running container: container ${other.name} is ${state.status}`);
    // Its hosts file has this name, and the UTS namespace is not shared.
    Object.assign(record.config, { Hostname: other.config.Hostname, Domainname: other.config.Domainname });
    return { netnsPath: `/proc/${state.pid}/ns/net`, files: sandboxPaths(options.containerFolder(other.id)) };
  }

  async function disconnect(record: { id: string }): Promise<void> {
    const sandbox = sandboxes.get(record.id);
    if (!sandbox) return;
    sandboxes.delete(record.id);
    sandbox.namespace?.close();
    await names.withdraw(sandbox);
    // While the rows are there, a crash leaves no reservation that nobody knows of.
    for (const endpoint of sandbox.endpoints) await publishing.release(endpoint);
    await links.refresh();
    store.removeEndpoints(record.id);
    for (const endpoint of sandbox.endpoints) {
      if (endpoint.told) tell("disconnect", record, endpoint);
      void release(endpoint);
    }
  }

  function release({ network, endpointId, interfaceName, addresses: held }: Endpoint, sandbox?: SandboxNamespace): Promise<void> {
    const gone = network.driver.leave({ networkId: network.row.id, endpointId }, sandbox && { sandbox, interfaceName }).catch((error: unknown) => warn(`leaving network ${network.row.name}: ${messageOf(error)}`));
    addresses.release(network, held, sandbox ? gone : silenced({ network, endpointId }, gone));
    return gone;
  }

  /** A dying namespace may live for a while. */
  async function silenced({ network: { row, driver }, endpointId }: Pick<Endpoint, "network" | "endpointId">, gone: Promise<void>): Promise<void> {
    const isSilent = silencesEndpoints(driver) && (await driver.silence({ networkId: row.id, endpointId }));
    if (!isSilent) await gone;
  }

  function tell(action: "connect" | "disconnect", record: { id: string }, endpoint: Endpoint): void {
    const { row, driver } = endpoint.network;
    endpoint.told = action === "connect";
    options.events.emit({ type: "network", action, actor: { id: row.id, attributes: { container: record.id, name: row.name, type: driver.id } } });
  }

  /** The row first: an endpoint that its container's record does not know was never promised to anybody. */
  async function attach(record: ContainerRecord, network: Network, settings: EndpointSettings): Promise<SandboxState> {
    const sandbox = runningSandbox(record);
    if (sandbox.endpoints.some((endpoint) => endpoint.network === network)) throw forbidden(`endpoint with name ${record.name} already exists in network ${network.row.name}`);
    await mover.settled([network]);
    const namespace = open(record);
    const before = gatewayEndpoints(sandbox.endpoints);
    const endpoint = newEndpoint(sandbox, network, settings);
    try {
      endpoint.addresses = await addresses.choose(network, settings, familiesOf(record, settings));
      store.addEndpoint(endpointRow(record.id, sandbox.id, endpoint));
      faultPoint("attach-recorded");
      await join(endpoint, namespace, { chosen: gatewayEndpoints(sandbox.endpoints), trusted: record.hostConfig.Privileged, firstRoutes: FAMILIES.filter((family) => !before[family]) });
      faultPoint("attach-joined");
      await believe(sandbox);
      await publishing.move(record, sandbox);
      names.rewrite(record, sandbox);
      await names.serve(record, sandbox, namespace);
    } catch (error) {
      await takeOut(record, sandbox, { endpoint, namespace });
      throw error;
    } finally {
      namespace.close();
    }
    tell("connect", record, endpoint);
    return stateOf(sandbox);
  }

  async function detach(record: ContainerRecord, network: Network): Promise<SandboxState> {
    const sandbox = runningSandbox(record);
    const endpoint = sandbox.endpoints.find((candidate) => candidate.network === network);
    if (!endpoint) throw systemError(`container ${record.id} is not connected to network ${network.row.name}`);
    const namespace = open(record);
    try {
      await takeOut(record, sandbox, { endpoint, namespace });
      await publishing.move(record, sandbox);
      await names.serve(record, sandbox, namespace);
    } finally {
      namespace.close();
    }
    tell("disconnect", record, endpoint);
    return stateOf(sandbox);
  }

  /** The row first: an endpoint of a container's record that has none is on its way out. */
  async function takeOut(record: ContainerRecord, sandbox: ContainerSandbox, { endpoint, namespace }: { endpoint: Endpoint; namespace: SandboxNamespace }): Promise<void> {
    sandbox.endpoints = sandbox.endpoints.filter((other) => other !== endpoint);
    await names.forget(endpoint);
    await publishing.release(endpoint);
    store.removeEndpoint(record.id, endpoint.network.row.id);
    faultPoint("detach-recorded");
    await release(endpoint, namespace);
    faultPoint("detach-left");
    await believe(sandbox);
    await routeAgain(sandbox, namespace);
    names.rewrite(record, sandbox, endpoint.addresses);
  }

  /** What comes in by one of its networks leaves by the default route, with the address that it came to. */
  async function believe({ endpoints }: ContainerSandbox): Promise<void> {
    const own = endpoints.flatMap(({ addresses: held, extraAddresses }) => [...held, ...extraAddresses].map(({ address }) => address));
    for (const { network, endpointId } of endpoints) if (guardsEndpoints(network.driver)) await network.driver.believe({ networkId: network.row.id, endpointId }, own);
  }

  function runningSandbox(record: ContainerRecord): ContainerSandbox {
    const sandbox = sandboxes.get(record.id);
    if (!sandbox) throw systemError(`container ${record.id} has no network of its own`);
    return sandbox;
  }

  function open({ id, state }: ContainerRecord): SandboxNamespace {
    if (state.status !== "running" && state.status !== "paused") throw conflict(`container ${id} is not running`);
    return options.openSandbox(`/proc/${state.pid}/ns/net`);
  }

  /** Default routes as they are to be, whatever was changed. */
  async function routeAgain(sandbox: ContainerSandbox, namespace: SandboxNamespace): Promise<void> {
    const chosen = gatewayEndpoints(sandbox.endpoints);
    for (const endpoint of sandbox.endpoints) {
      const gateways = routesThrough(endpoint, chosen);
      if (gateways.length > 0) await options.setDefaultRoutes(namespace, endpoint.interfaceName, gateways).catch((error: unknown) => warn(messageOf(error)));
    }
  }

  async function adopt(): Promise<void> {
    for (const row of store.endpoints()) {
      const network = registry.get(row.network);
      const record = recordOf(row.container);
      if (!network) continue;
      const sandbox: ContainerSandbox = sandboxes.get(row.container) ?? { id: row.sandbox || randomId(), endpoints: [], named: false, linked: record !== undefined && hasLinks(record) };
      sandboxes.set(row.container, sandbox);
      const settings = settingsFor(record?.networkingConfig, network, record?.hostConfig.NetworkMode ?? "");
      const held = row.addresses.flatMap((text) => parsePrefix(text) ?? []);
      await addresses.adopt(network, held).catch((error: unknown) => warn(`the addresses ${row.addresses.join(", ")} of container ${row.container}: ${messageOf(error)}`));
      const mac = record?.network?.endpoints.find(({ networkId }) => networkId === row.network)?.macAddress ?? "";
      sandbox.endpoints.push({ network, endpointId: row.endpoint, settings, slot: row.slot, interfaceName: row.interface, addresses: held, extraAddresses: linkLocalAddresses(settings), mac, told: true, ...(row.ports.length > 0 ? { ports: publishedPorts(row.ports) } : {}) });
    }
    for (const sandbox of sandboxes.values()) publishing.adopt(sandbox);
    const all = [...sandboxes.values()].flatMap(({ endpoints }) => endpoints);
    for (const driver of new Set(registry.list().map((network) => network.driver))) {
      const own = all.filter(({ network }) => network.driver === driver);
      if (recoversEndpoints(driver)) await driver.recover(own.map(({ network, endpointId }) => ({ networkId: network.row.id, endpointId })));
    }
  }

  /** What a daemon that died in the middle had not written down of a running container. */
  async function reconcile(record: ContainerRecord, sandbox: ContainerSandbox): Promise<void> {
    const { network: known } = record;
    if (known) {
      for (const endpoint of sandbox.endpoints.filter(({ network }) => !known.endpoints.some(({ networkId }) => networkId === network.row.id))) {
        const namespace = open(record);
        await takeOut(record, sandbox, { endpoint, namespace }).finally(() => namespace.close());
      }
      for (const { networkId, networkName } of known.endpoints) if (!sandbox.endpoints.some(({ network }) => network.row.id === networkId)) delete record.networkingConfig.EndpointsConfig?.[networkName];
    }
    if (known && known.endpoints.length === sandbox.endpoints.length) return;
    record.network = stateOf(sandbox);
    options.saveContainer(record);
  }

  function membersOf(network: Network): Member[] {
    return [...sandboxes].flatMap(([id, sandbox]) => {
      const [record, endpoint] = [recordOf(id), sandbox.endpoints.find((one) => one.network === network)];
      return record && endpoint ? [{ record, sandbox, endpoint }] : [];
    });
  }

  function recordOf(id: string): ContainerRecord | undefined {
    try {
      return options.findContainer(id);
    } catch {
      return undefined;
    }
  }

  return {
    port: {
      connect,
      disconnect,
      started: (record) => {
        const sandbox = sandboxes.get(record.id);
        sandbox?.namespace?.close();
        delete sandbox?.namespace;
        links.started(record);
      },
    },
    attach,
    detach,
    move: mover.move,
    changePorts: (record, change) => publishing.change(record, runningSandbox(record), change),
    usage: (network) => addresses.usage(network),
    relinked: async (record, gone) => {
      const sandbox = sandboxes.get(record.id);
      if (!sandbox) return;
      names.rewrite(record, sandbox, gone);
      await links.refresh();
    },
    renamed: async (record) => {
      const sandbox = sandboxes.get(record.id);
      if (sandbox) await names.rename(record, sandbox);
    },
    endpointsOf: (network) => [...sandboxes].flatMap(([container, { endpoints }]) => endpoints.filter((endpoint) => endpoint.network === network).map((endpoint) => ({ container, endpoint }))),
    adopt,
    collect: async (isRunning) => {
      for (const id of [...sandboxes.keys()]) if (!isRunning(id)) await disconnect({ id });
      const running = [...sandboxes].flatMap(([id, sandbox]) => {
        const record = recordOf(id);
        return record ? [{ record, sandbox }] : [];
      });
      for (const { record, sandbox } of running) await reconcile(record, sandbox).catch((error: unknown) => warn(`the networks of container ${record.id}: ${messageOf(error)}`));
      await names.restore(running);
      for (const driver of Object.values(options.drivers)) if (driver && restoresEndpoints(driver)) await driver.checkEndpoints().catch((error: unknown) => warn(messageOf(error)));
      await links.refresh();
      for (const network of registry.list()) if (network.definition?.moving) await mover.finish(network).catch((error: unknown) => warn(messageOf(error)));
    },
  };
}

const FAMILIES = [4, 6] as const;

/** What "default" stands for. */
const predefinedName = (mode: string): string => (mode === "" || mode === "default" ? "bridge" : mode);
