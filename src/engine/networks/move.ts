/**
 * Other subnets for a network whose containers run: addresses, routes, published ports, names and hosts files follow. What is to
 * be is recorded as a whole before anything is changed; a daemon that dies in the middle has the next one finish it.
 */
import type { ContainerRecord } from "../../core/container.ts";
import type { RenumberedEndpoint, SandboxNamespace } from "../../core/network.ts";
import { renumbersNetworks } from "../../core/network.ts";
import { codeOf, conflict, forbidden, invalidParameter, messageOf, notImplemented } from "../../lib/errors.ts";
import { faultPoint } from "../../lib/fault.ts";
import { contains, firstAddress, parsePrefix } from "../../lib/ip.ts";
import type { IpAddress, IpPrefix } from "../../lib/ip.ts";
import { formatMac } from "../../lib/mac.ts";
import { namingNetwork } from "./addresses.ts";
import { checkIpam, familyOf } from "./definition.ts";
import type { IpamEntry, NetworkDefinition } from "./definition.ts";
import type { NetworksOptions } from "./networks.ts";
import { closePools, openPools } from "./pools.ts";
import type { NetworkPool } from "./pools.ts";
import type { Network } from "./predefined.ts";
import { gatewaysOf } from "./registry.ts";
import type { SandboxNames } from "./sandbox-names.ts";
import { endpointRow, gatewayEndpoints, joinRequest, routesThrough, stateOf } from "./sandbox.ts";
import type { ContainerSandbox, Endpoint } from "./sandbox.ts";
import type { NetworkStore } from "./store.ts";

/** A container in the network. */
export interface Member {
  record: ContainerRecord;
  sandbox: ContainerSandbox;
  endpoint: Endpoint;
}

interface MoverOptions extends Pick<NetworksOptions, "ipam" | "database" | "saveContainer" | "openSandbox" | "warn"> {
  store: NetworkStore;
  names: SandboxNames;
  /** Tells drivers of all addresses of a sandbox. */
  believe: (sandbox: ContainerSandbox) => Promise<void>;
  /** Who is in the network now. */
  membersOf: (network: Network) => Member[];
}

/** What an address of the network has become. */
export type Translate = (address: IpAddress) => IpAddress | undefined;

export interface NetworkMove {
  /** Subnets for the families that they are of; the others stay. */
  entries: readonly IpamEntry[];
  /** Writes down what else follows, together with the move itself. */
  record: (translate: Translate) => void;
}

export interface Mover {
  move(network: Network, move: NetworkMove): Promise<void>;
  /** Resolves when none of them is being moved. */
  settled(networks: readonly Network[]): Promise<void>;
  /** Ends what a daemon before this one began. */
  finish(network: Network): Promise<void>;
}

export function createMover(options: MoverOptions): Mover {
  const { ipam, store, names, warn, membersOf } = options;
  const moving = new Map<Network, Promise<void>>();

  async function move(network: Network, { entries, record }: NetworkMove): Promise<void> {
    const definition = movable(network, entries);
    for (const member of membersOf(network)) refuseUnsettled(member);
    const families = new Set(entries.map(familyOf));
    const isReplaced = ({ subnet }: NetworkPool): boolean => families.has(subnet.address.family);
    const replaced = network.pools.filter(isReplaced);
    const asked: NetworkDefinition = { ...definition, ipv4: families.has(4), ipv6: families.has(6), ipam: { ...definition.ipam, config: [...entries] } };
    const opened = await openPools(ipam, asked, { avoid: () => Promise.resolve([]), gateways: (family) => gatewaysOf(network.driver, network.spec, family) });
    const translate: Translate = (address) => translated(address, replaced, opened.pools);
    const before = { pools: network.pools, definition, spec: network.spec };
    let members: Member[];
    let gone: IpPrefix[][];
    try {
      const chosen = new Map<Endpoint, IpPrefix[]>();
      for (const { endpoint } of membersOf(network)) chosen.set(endpoint, await chooseAll(endpoint.addresses, { ...network, pools: opened.pools }, translate));
      // Some may have left meanwhile; nobody comes.
      members = membersOf(network).filter(({ endpoint }) => chosen.has(endpoint));
      gone = members.map(({ endpoint: { addresses } }) => addresses);
      const config = [...definition.ipam.config.filter((entry) => !families.has(familyOf(entry))), ...opened.config];
      network.pools = [...network.pools.filter((pool) => !isReplaced(pool)), ...opened.pools].sort((one, other) => one.subnet.address.family - other.subnet.address.family);
      network.definition = { ...definition, ipam: { ...definition.ipam, config }, moving: true };
      network.spec = { ...network.spec, subnets: network.pools.map(({ subnet, gateway }) => ({ subnet, ...(gateway ? { gateway } : {}) })) };
      for (const { endpoint } of members) endpoint.addresses = chosen.get(endpoint)!;
      try {
        writeDown(network, members, () => record(translate));
      } catch (error) {
        Object.assign(network, before);
        members.forEach(({ endpoint }, index) => (endpoint.addresses = gone[index]!));
        throw error;
      }
    } catch (error) {
      await closePools(opened.pools);
      throw error;
    }
    faultPoint("network-move-recorded");
    await finish(network, members, gone);
    await closePools(replaced);
  }

  async function chooseAll(addresses: readonly IpPrefix[], network: Network, translate: Translate): Promise<IpPrefix[]> {
    const chosen: IpPrefix[] = [];
    for (const own of addresses) {
      const pool = network.pools.find(({ subnet }) => subnet.address.family === own.address.family);
      const { family } = own.address;
      chosen.push(pool ? await choose(pool, translate(own.address)).catch((error: unknown) => Promise.reject(namingNetwork(error, network, family))) : own);
    }
    return chosen;
  }

  /** The same place in the new subnet where that is free. */
  async function choose({ id }: NetworkPool, wanted: IpAddress | undefined): Promise<IpPrefix> {
    try {
      return await ipam.requestAddress(id, wanted);
    } catch (error) {
      if (!wanted || !["forbidden", "invalid-parameter"].includes(codeOf(error))) throw error;
      return ipam.requestAddress(id);
    }
  }

  /** All or nothing. */
  function writeDown(network: Network, members: readonly Member[], also: () => void): void {
    options.database.exec("BEGIN IMMEDIATE");
    try {
      store.setDefinition(network.row.id, network.definition!);
      for (const { record, sandbox, endpoint } of members) {
        store.addEndpoint(endpointRow(record.id, sandbox.id, endpoint));
        record.network = stateOf(sandbox);
        options.saveContainer(record);
      }
      also();
      options.database.exec("COMMIT");
    } catch (error) {
      options.database.exec("ROLLBACK");
      throw error;
    }
  }

  async function finish(network: Network, members: readonly Member[], gone: readonly IpPrefix[][] = []): Promise<void> {
    const { driver, spec } = network;
    if (!renumbersNetworks(driver) || !network.definition) return;
    const opened = members.flatMap((member, index) => {
      const namespace = namespaceOf(member);
      return namespace ? [{ ...member, namespace, gone: gone[index] ?? [] }] : [];
    });
    try {
      const macs = await driver.renumberNetwork(spec, opened.map((member) => renumbered(member)));
      faultPoint("network-move-renumbered");
      opened.forEach(({ endpoint }, index) => (endpoint.mac = formatMac(macs[index]!.mac)));
      for (const { record, sandbox, namespace, gone: old } of opened) {
        if (sandbox.endpoints.length > 1) await options.believe(sandbox);
        names.rewrite(record, sandbox, old);
        await names.serve(record, sandbox, namespace).catch((error: unknown) => warn(`the names of container ${record.name}: ${messageOf(error)}`));
      }
    } finally {
      for (const { namespace } of opened) namespace.close();
    }
    const { moving: _moving, ...settled } = network.definition;
    network.definition = settled;
    writeDown(network, opened, () => {});
  }

  /** undefined: the container is ending. */
  function namespaceOf({ record: { state } }: Member): SandboxNamespace | undefined {
    try {
      return "pid" in state ? options.openSandbox(`/proc/${state.pid}/ns/net`) : undefined;
    } catch {
      return undefined;
    }
  }

  return {
    move: async (network, request) => {
      if (moving.has(network)) throw conflict(`network ${network.row.name} is being moved`);
      const { promise, resolve } = Promise.withResolvers<void>();
      moving.set(network, promise);
      try {
        await move(network, request);
      } finally {
        moving.delete(network);
        resolve();
      }
    },
    settled: async (networks) => {
      for (const network of moving.size === 0 ? [] : networks) await moving.get(network);
    },
    finish: (network) => finish(network, membersOf(network)),
  };
}

function renumbered({ record, sandbox, endpoint, namespace }: Member & { namespace: SandboxNamespace }): RenumberedEndpoint {
  return joinRequest(endpoint, namespace, { gateways: routesThrough(endpoint, gatewayEndpoints(sandbox.endpoints)), trusted: record.hostConfig.Privileged });
}


/** Throws for networks and subnets that cannot be. */
function movable({ row, driver, definition, pools }: Network, entries: readonly IpamEntry[]): NetworkDefinition {
  if (!definition) throw forbidden(`${row.name} is a pre-defined network: the daemon's settings say which subnets it has`);
  if (definition.configOnly || pools.length === 0) throw forbidden(`network ${row.name} has no subnets`);
  if (!renumbersNetworks(driver)) throw notImplemented(`networks of the driver ${driver.id} cannot be moved to other subnets`);
  if (definition.ipam.driver !== "default") throw notImplemented(`networks with addresses of the plugin ${definition.ipam.driver} cannot be moved to other subnets`);
  if (entries.length === 0) throw invalidParameter("no subnet to move to");
  checkIpam(entries, definition.ipv6);
  const unusable = entries.find(({ subnet }) => !parsePrefix(subnet));
  if (unusable) throw invalidParameter(`invalid subnet ${JSON.stringify(unusable.subnet)}`);
  const foreign = entries.find((entry) => !pools.some(({ subnet }) => subnet.address.family === familyOf(entry)));
  if (foreign) throw invalidParameter(`network ${row.name} has no IPv${familyOf(foreign)} subnet that could move to ${foreign.subnet}`);
  return definition;
}

function refuseUnsettled({ record: { name, state }, endpoint }: Member): void {
  if ((state.status !== "running" && state.status !== "paused") || endpoint.mac === "") throw conflict(`container ${name} is starting or ending: try again`);
}

/** The address of the same place in the new subnet; undefined where there is none. */
function translated(address: IpAddress, from: readonly NetworkPool[], to: readonly NetworkPool[]): IpAddress | undefined {
  const old = from.find(({ subnet }) => contains(subnet, address))?.subnet;
  const next = to.find(({ subnet }) => subnet.address.family === address.family)?.subnet;
  if (!old || !next) return undefined;
  const moved = { family: address.family, value: firstAddress(next).value + (address.value - firstAddress(old).value) };
  return contains(next, moved) ? moved : undefined;
}
