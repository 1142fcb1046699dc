/** Connecting containers to networks and disconnecting them, whether they run or not. */
import type { EndpointSettings } from "../../core/container-config.ts";
import { endpointSettingsSchema } from "../../core/container-config.ts";
import type { ContainerRecord } from "../../core/container.ts";
import { GantryError, invalidParameter, notFound, systemError } from "../../lib/errors.ts";
import { formatIp, parseIp } from "../../lib/ip.ts";
import { zero } from "../../lib/schema.ts";
import type { RecordStore } from "../containers/lifecycle/context.ts";
import { containerOf, isUserDefined } from "../containers/modes.ts";
import { validateEndpoint } from "../containers/validate/endpoints.ts";
import type { IpamEntry } from "./definition.ts";
import type { Translate } from "./move.ts";
import type { NetworkView, Networks } from "./networks.ts";

export interface ConnectionContext {
  store: RecordStore;
  networks: Networks;
}

export interface ConnectRequest {
  network: string;
  container: string;
  settings: EndpointSettings;
}

export async function connectContainer({ store, networks }: ConnectionContext, { network: ref, container, settings }: ConnectRequest): Promise<void> {
  const { id } = store.find(container);
  await store.withContainer(id, async () => {
    const record = store.find(id);
    refuseRemoved(record);
    const network = networks.find(ref);
    if (containerOf(record.hostConfig.NetworkMode) !== undefined) throw shared();
    validateEndpoint(network.name, settings, network.subnets);
    if (hasTask(record)) {
      if (!endpointsOf(record)[network.name]) requireCompatible(record, network, networks);
      record.network = await networks.attach(record, network.id, settings);
    } else {
      if (endpointsOf(record)[network.name]) return;
      requireCompatible(record, network, networks);
    }
    const endpoints = endpointsOf(record);
    // Says that names were given, as Docker shows them before the start.
    endpoints[network.name] = { ...settings, DNSNames: isUserDefined(network.name) ? [] : null };
    store.save(record);
  });
}

export async function disconnectContainer({ store, networks }: ConnectionContext, { network: ref, container, force }: { network: string; container: string; force: boolean }): Promise<void> {
  const { id } = force ? forced(store, container) : store.find(container);
  await store.withContainer(id, async () => {
    const record = store.find(id);
    refuseRemoved(record);
    const network = networks.find(ref);
    if (hasTask(record)) {
      if (network.driver === "host" && record.hostConfig.NetworkMode === "host") throw invalidParameter("cannot disconnect container from host network - container was created in host network mode");
      if (!network.endpoints.some((endpoint) => endpoint.container === id)) throw systemError(`container ${id} is not connected to network ${network.name}`);
      record.network = await networks.detach(record, network.id);
    } else if (!endpointsOf(record)[network.name]) throw systemError(`container ${id} is not connected to the network ${network.name}`);
    delete endpointsOf(record)[network.name];
    store.save(record);
  });
}

/** All containers of the network are held meanwhile; addresses that they asked for follow, also those of stopped ones. */
export async function moveNetwork({ store, networks }: ConnectionContext, { network: ref, subnets }: { network: string; subnets: readonly IpamEntry[] }): Promise<void> {
  const { id, name, endpoints } = networks.find(ref);
  const connected = new Set(endpoints.map(({ container }) => container));
  const ids = [...store.list()].filter((record) => connected.has(record.id) || record.hostConfig.NetworkMode === name || record.networkingConfig.EndpointsConfig?.[name] !== undefined).map((record) => record.id);
  const record = (translate: Translate): void => {
    for (const one of store.list()) if (moveAsked(one.networkingConfig.EndpointsConfig?.[name], translate)) store.save(one);
  };
  const move = (): Promise<void> => networks.move(id, { entries: subnets, record });
  await ids.sort().reduceRight<() => Promise<void>>((inner, container) => () => store.withContainer(container, inner), move)();
}

/** Whether anything was asked for that has moved. */
function moveAsked(settings: EndpointSettings | null | undefined, translate: Translate): boolean {
  const asked = settings?.IPAMConfig;
  if (!asked) return false;
  const moved = (["IPv4Address", "IPv6Address"] as const).flatMap((key) => {
    const address = parseIp(asked[key]);
    const next = address && translate(address);
    return next ? [[key, formatIp(next)] as const] : [];
  });
  for (const [key, address] of moved) asked[key] = address;
  return moved.length > 0;
}

function forced(store: RecordStore, container: string): ContainerRecord {
  try {
    return store.find(container);
  } catch (error) {
    if (error instanceof GantryError && error.code === "not-found") throw notFound(`endpoint ${container} not found`, error);
    throw error;
  }
}

const hasTask = ({ state }: ContainerRecord): boolean => state.status === "running" || state.status === "paused";
const shared = (): GantryError => invalidParameter("container sharing network namespace with another container or host cannot be connected to any other network");

/** By network; that of the mode is there without being said. */
function endpointsOf({ networkingConfig, hostConfig, config }: ContainerRecord): Record<string, EndpointSettings | null> {
  networkingConfig.EndpointsConfig ??= config.NetworkDisabled || containerOf(hostConfig.NetworkMode) !== undefined ? {} : { [hostConfig.NetworkMode]: zero(endpointSettingsSchema) };
  return networkingConfig.EndpointsConfig;
}

function requireCompatible(record: ContainerRecord, network: NetworkView, networks: Networks): void {
  if (network.driver === "host" && record.hostConfig.NetworkMode !== "host") throw invalidParameter("cannot connect container to host network - container must be created in host network mode");
  for (const name of Object.keys(endpointsOf(record))) {
    const other = networks.list().find((candidate) => candidate.name === name);
    if (other?.driver === "host" || network.driver === "host") throw shared();
    if (name === "none" || network.name === "none") throw invalidParameter("container cannot be connected to multiple networks with one of the networks in private (none) mode");
  }
}

function refuseRemoved({ id, state }: ContainerRecord): void {
  if (state.status === "removing" || state.status === "dead") throw systemError(`Container ${id} is marked for removal and cannot be connected or disconnected to the network`);
}
