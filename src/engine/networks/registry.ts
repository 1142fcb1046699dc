/** The networks that there are: those that every daemon has, and those that users make and remove. */
import type { Ipam } from "../../core/ipam.ts";
import type { NetworkDriver, NetworkSpec } from "../../core/network.ts";
import { recoversEndpoints } from "../../core/network.ts";
import { GantryError, conflict, forbidden, messageOf, notFound } from "../../lib/errors.ts";
import { faultPoint } from "../../lib/fault.ts";
import { formatPrefix, parseIp, parsePrefix } from "../../lib/ip.ts";
import type { IpFamily, IpPrefix } from "../../lib/ip.ts";
import { defineNetwork } from "./definition.ts";
import type { NetworkCreation, NetworkDefinition } from "./definition.ts";
import { NULL_IPAM, closePools, openPools } from "./pools.ts";
import type { Network } from "./predefined.ts";
import { newNetworkRow } from "./store.ts";
import type { NetworkRow, NetworkStore } from "./store.ts";

/** Plugins by name. Those of networks that there are stand for themselves until they are needed; new ones must be there: Docker's not-found. */
export interface NetworkPlugins {
  driver(name: string): NetworkDriver;
  requireDriver(name: string): Promise<NetworkDriver>;
  ipam(name: string): Ipam;
  requireIpam(name: string): Promise<Ipam>;
  /** Drivers that were used since the start. */
  active(): string[];
}

export interface RegistryOptions {
  store: NetworkStore;
  /** By the names that `--driver` has. */
  drivers: Readonly<Record<string, NetworkDriver>>;
  ipam: Ipam;
  /** Drivers and IPAMs of others; absent: there are none. */
  plugins?: NetworkPlugins;
  /** What the host routes now. */
  hostPrefixes: () => Promise<readonly IpPrefix[]>;
  /** Of new networks that name none of their own, by driver. */
  defaultOptions: Readonly<Record<string, Readonly<Record<string, string>>>>;
  warn: (message: string) => void;
}

export class NetworkRegistry {
  readonly #options: RegistryOptions;
  readonly #networks = new Map<string, Network>();
  readonly #names = new Map<string, Network | undefined>();

  constructor(options: RegistryOptions) {
    this.#options = options;
  }

  /** One that the daemon made itself. */
  add(network: Network): void {
    this.#networks.set(network.row.id, network);
    this.#names.set(network.row.name, network);
  }

  list(): Network[] {
    return [...this.#networks.values()];
  }

  get(id: string): Network | undefined {
    return this.#networks.get(id);
  }

  /** Docker's order: the whole id, the name, the beginning of an id. Throws its not-found. */
  find(ref: string): Network {
    const exact = this.#networks.get(ref) ?? this.#names.get(ref);
    if (exact) return exact;
    const [found, second] = this.list().filter(({ row }) => ref !== "" && row.id.startsWith(ref));
    if (second) throw new GantryError("invalid-parameter", `network ${ref} is ambiguous (2 matches found based on ID prefix)`);
    if (!found) throw notFound(`network ${ref} not found`);
    return found;
  }

  /** Says what restore() will make, so that what is there of it goes on. */
  announce(): void {
    const rows = this.#options.store.defined();
    const { drivers, plugins } = this.#options;
    const others = new Set(rows.map(({ definition }) => definition.driver).filter((name) => !Object.hasOwn(drivers, name)));
    for (const [name, driver] of [...Object.entries(drivers), ...(plugins ? [...others].map((name) => [name, plugins.driver(name)] as const) : [])]) {
      const own = rows.filter(({ definition }) => definition.driver === name && !definition.configOnly);
      if (recoversEndpoints(driver) && own.length > 0) driver.expectNetworks(own.map(({ id, name: networkName, definition }) => ({ id, name: networkName, options: definition.options, internal: definition.internal, subnets: subnetsOf(definition) })));
    }
  }

  /** Makes again what earlier daemons made. One that cannot be is there to be removed, or made at the next start; nothing can be connected to it. */
  async restore(): Promise<void> {
    const restoreOne = async (row: NetworkRow & { definition: NetworkDefinition }): Promise<void> => {
      try {
        this.add(await this.#open(row, row.definition));
      } catch (error) {
        this.#options.warn(`the network ${row.name} cannot be restored: ${messageOf(error)}`);
        const driver = this.#options.drivers[row.definition.driver] ?? this.#options.drivers["null"]!;
        this.add({ row, driver, definition: row.definition, spec: { id: row.id, name: row.name, options: row.definition.options, internal: row.definition.internal, subnets: [] }, pools: [] });
      }
    };
    await Promise.all(this.#options.store.defined().map(restoreOne));
  }

  async create(creation: NetworkCreation): Promise<Network> {
    const { store, defaultOptions } = this.#options;
    const definition = defineNetwork(creation, { settings: (name) => this.#names.get(name)?.definition, defaultOptions });
    if (this.#names.has(creation.name)) throw conflict(`network with name ${creation.name} already exists`);
    this.#names.set(creation.name, undefined);
    const row = newNetworkRow(creation.name, definition.driver, definition);
    try {
      const network = await this.#open(row, definition, () => store.addNetwork(row));
      this.add(network);
      return network;
    } catch (error) {
      this.#names.delete(creation.name);
      store.removeNetwork(row.id);
      throw error;
    }
  }

  /** `users` says who is connected to it. */
  async remove(network: Network, users: () => string[]): Promise<void> {
    const { row, driver, definition, pools } = network;
    if (!definition) throw forbidden(`${row.name} is a pre-defined network and cannot be removed`);
    const refuse = (reason: string): GantryError => forbidden(`error while removing network: ${reason}`);
    if (definition.configOnly && this.list().some((other) => other.definition?.configFrom === row.name)) throw refuse(`configuration network ${JSON.stringify(row.name)} is in use`);
    const active = users();
    if (active.length > 0) throw refuse(`network ${row.name} has active endpoints (${active.join(", ")})`);
    if (!this.#networks.delete(row.id)) throw notFound(`network ${row.name} not found`);
    try {
      if (!definition.configOnly) await driver.deleteNetwork(row.id);
    } catch (error) {
      this.#networks.set(row.id, network);
      throw error;
    }
    faultPoint("network-deleted");
    this.#names.delete(row.name);
    this.#options.store.removeNetwork(row.id);
    // What is still on its way back is nobody's: the subnet may be another network's by then.
    network.pools = [];
    await closePools(pools);
  }

  /** `record` writes it down, when its subnets are chosen and before anything is made. */
  async #open(row: NetworkRow, definition: NetworkDefinition, record?: () => void): Promise<Network> {
    const { hostPrefixes } = this.#options;
    const isNew = record !== undefined;
    const driver = await this.#driver(definition.configOnly ? "null" : definition.driver, isNew);
    const ipam = await this.#ipam(definition.ipam.driver, isNew);
    const spec: NetworkSpec = { id: row.id, name: row.name, options: definition.options, internal: definition.internal, subnets: [] };
    if (definition.configOnly) {
      record?.();
      return { row, driver, definition, spec, pools: [] };
    }
    driver.validate(spec);
    const { pools, config } = await openPools(ipam, definition, { avoid: hostPrefixes, gateways: (family) => gatewaysOf(driver, spec, family) });
    definition.ipam = { ...definition.ipam, config, ...(ipam.adoptAddress && { pools: Object.fromEntries(pools.map(({ subnet, id }) => [formatPrefix(subnet), id])) }) };
    spec.subnets = pools.map(({ subnet, gateway }) => ({ subnet, ...(gateway ? { gateway } : {}) }));
    try {
      driver.validate(spec);
      record?.();
      if (record) faultPoint("network-recorded");
      await driver.createNetwork(spec);
      if (record) faultPoint("network-made");
    } catch (error) {
      await closePools(pools);
      throw error;
    }
    return { row, driver, definition, spec, pools };
  }

  async #driver(name: string, isNew: boolean): Promise<NetworkDriver> {
    const { drivers, plugins } = this.#options;
    const driver = Object.hasOwn(drivers, name) ? drivers[name] : await (isNew ? plugins?.requireDriver(name) : plugins?.driver(name));
    if (!driver) throw notFound(`plugin ${JSON.stringify(name)} not found`);
    return driver;
  }

  async #ipam(name: string, isNew: boolean): Promise<Ipam> {
    const { ipam: own, plugins } = this.#options;
    const ipam = name === "default" || name === NULL_IPAM ? own : await (isNew ? plugins?.requireIpam(name) : plugins?.ipam(name));
    if (!ipam) throw notFound(`plugin ${JSON.stringify(name)} not found`);
    return ipam;
  }
}

/** One that nobody could use is not made, and its address is a container's. */
export function gatewaysOf(driver: NetworkDriver, spec: NetworkSpec, family: IpFamily): "own" | "asked" | "none" {
  const { gateways } = driver.capabilities;
  return gateways === "own" && driver.isWithoutGateway?.(spec, family) === true ? "none" : gateways;
}

/** Those that were chosen when the network was made. */
function subnetsOf({ ipam, ipv6 }: NetworkDefinition): NetworkSpec["subnets"] {
  if (ipam.driver === NULL_IPAM) return [];
  return ipam.config.flatMap(({ subnet: text, gateway: address }) => {
    const [subnet, gateway] = [parsePrefix(text), parseIp(address)];
    return subnet && (ipv6 || subnet.address.family === 4) ? [{ subnet, ...(gateway ? { gateway } : {}) }] : [];
  });
}
