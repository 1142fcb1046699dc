/** Chooses and wires the network drivers of a daemon. */
import { createHash } from "node:crypto";
import { closeSync, existsSync, openSync, readFileSync, readlinkSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import type { ContainerRecord } from "../core/container.ts";
import type { EventSink } from "../core/events.ts";
import type { NameService } from "../core/name-service.ts";
import type { Ipam } from "../core/ipam.ts";
import type { NetworkDriver } from "../core/network.ts";
import type { Plugins } from "../core/plugins.ts";
import { DOCKER_POOLS, createDefaultIpam, localPool } from "../drivers/ipam-default/ipam.ts";
import type { DefaultPool } from "../drivers/ipam-default/ipam.ts";
import { bridgeAddresses, chosenRoutes, freeBridgeName, hostPrefixes, ownerAlias } from "../drivers/network-bridge/bridge-link.ts";
import { createBridgeDriver } from "../drivers/network-bridge/driver.ts";
import type { FirewallMode } from "../drivers/network-bridge/driver-options.ts";
import type { BridgeDriver } from "../drivers/network-bridge/driver.ts";
import type { DescriptorKeeper } from "../drivers/network-bridge/ports.ts";
import type { RelayProgram } from "../drivers/network-bridge/relay.ts";
import { createHostDriver } from "../drivers/network-host/driver.ts";
import { createSlaveDriver } from "../drivers/network-macvlan/driver.ts";
import { createRemoteIpam } from "../drivers/ipam-remote/ipam.ts";
import { createRemoteDriver } from "../drivers/network-remote/driver.ts";
import { createNullDriver } from "../drivers/network-null/driver.ts";
import type { HostRoutes } from "../engine/networks/overlaps.ts";
import { createNetworks } from "../engine/networks/networks.ts";
import type { Networks, SandboxOwner } from "../engine/networks/networks.ts";
import type { NetworkPlugins } from "../engine/networks/registry.ts";
import type { DefaultBridgeSettings } from "../engine/networks/predefined.ts";
import { parseResolvConf } from "../lib/resolv-conf.ts";
import type { DnsSettings } from "../engine/networks/resolv-conf.ts";
import { byName } from "../lib/by-name.ts";
import { systemError } from "../lib/errors.ts";
import { contains, networkOf, parseIp, parsePrefix, requirePrefix } from "../lib/ip.ts";
import type { IpAddress, IpFamily, IpPrefix } from "../lib/ip.ts";
import type { UserMaps } from "../lib/user-maps.ts";
import { Netns } from "../sys/netlink/netns.ts";
import { openNetworkKernel } from "../sys/netlink/kernel.ts";
import type { NetworkKernel } from "../sys/netlink/kernel.ts";

/** The daemon's flags about networks, as the user wrote them; "" and [] are unset. */
export interface NetworkFlags {
  /** --bridge: "" is the default, "none" no default network, else the interface's name. */
  bridge: string;
  bip: string;
  fixedCidr: string;
  /** Where containers' default routes go; "" is the bridge itself. */
  defaultGateway: string;
  ipv6: boolean;
  bip6: string;
  fixedCidr6: string;
  defaultGateway6: string;
  /** --ip: "" is everywhere. */
  hostBinding: string;
  /** --default-address-pool entries. */
  defaultAddressPools: { base: string; size: number }[];
  /** 0: the default, 1500. */
  mtu: number;
  ipForward: boolean;
  ipMasq: boolean;
  icc: boolean;
  firewall: FirewallMode;
  /** --ip6tables. */
  firewall6: boolean;
  /** --userland-proxy: ports are served at addresses of the family that a container has not. */
  relay: boolean;
  /** --allow-direct-routing. */
  directRouting: boolean;
  /** --bridge-accept-fwmark. */
  acceptMark: { value: number; mask: number } | undefined;
  /** --default-network-opt, by driver. */
  networkOptions: Readonly<Record<string, Readonly<Record<string, string>>>>;
  dns: DnsSettings;
  hostGatewayIps: string[];
}

export const DEFAULT_NETWORK_FLAGS: NetworkFlags = { bridge: "", bip: "", fixedCidr: "", defaultGateway: "", ipv6: false, bip6: "", fixedCidr6: "", defaultGateway6: "", hostBinding: "", defaultAddressPools: [], mtu: 0, ipForward: true, ipMasq: true, icc: true, firewall: "docker", firewall6: true, relay: true, directRouting: false, acceptMark: undefined, networkOptions: {}, dns: { servers: [], search: [], options: [] }, hostGatewayIps: [] };

export interface NetworkWiring {
  plugins: Plugins;
  database: DatabaseSync;
  dataRoot: string;
  flags: NetworkFlags;
  events: EventSink;
  findContainer: (ref: string) => ContainerRecord;
  saveContainer: (record: ContainerRecord) => void;
  containerFolder: (id: string) => string;
  /** Of the user namespace that a container has for itself; undefined with the host's. */
  mapsOf?: (record: ContainerRecord) => UserMaps | undefined;
  /** Of containers that do not ask for the host's. */
  userMaps?: UserMaps | undefined;
  warn: (message: string) => void;
  /** Keeps the sockets that reserve ports over a restart; absent: nobody does. */
  keeper?: DescriptorKeeper;
  /** The program that serves ports at addresses of the family that a container has not; absent: nobody does. */
  relay?: RelayProgram;
  /** Answers names inside containers; absent: nobody does. */
  names?: NameService;
  /** Sandboxes with their interface made ahead. */
  poolSize?: number;
  /** Held while names and subnets are chosen, against other daemons that do the same. */
  lock?: () => Disposable | undefined;
  /** The namespace that stands for the host's, for tests; -1 is the process's own. */
  netns?: number;
  /** The host's resolv.conf, for tests. */
  hostResolvConf?: string;
}

const POOL_SIZE = 8;
/** Another one for tests, by dockerd's variable. */
export const HOST_RESOLV_CONF = process.env["DOCKER_TEST_RESOLV_CONF_PATH"] || "/etc/resolv.conf";

export interface DaemonNetworks extends Networks {
  setFirewall: BridgeDriver["setFirewall"];
}

/** Opens the networks of the daemon with that data root. The default bridge is there when this resolves. */
export async function openNetworks(wiring: NetworkWiring): Promise<DaemonNetworks> {
  const { flags, warn } = wiring;
  const kernel = openNetworkKernel(wiring.netns ?? -1);
  const tag = daemonTag(wiring.dataRoot);
  using _choosing = wiring.lock?.();
  const settings = await bridgeSettings(kernel, wiring, tag);
  const repaired = (what: string): void => wiring.events.emit(repairEvent(wiring.dataRoot, what));
  const bridge = createBridgeDriver({
    kernel,
    tag,
    table: `gantry-${settings?.name ?? tag}`,
    ipForward: flags.ipForward,
    firewall: flags.firewall,
    rules: { ipv6: flags.firewall6, directRouting: flags.directRouting, ...(flags.acceptMark ? { acceptMark: flags.acceptMark } : {}) },
    repaired,
    poolSize: wiring.poolSize ?? POOL_SIZE,
    maps: wiring.userMaps,
    ...(wiring.keeper ? { keeper: wiring.keeper } : {}),
    ...(wiring.relay && flags.relay && existsSync("/proc/sys/net/ipv6") ? { relay: wiring.relay } : {}),
    warn,
  });
  const slaves = (kind: "macvlan" | "ipvlan"): NetworkDriver => createSlaveDriver({ kernel, kind, alias: ownerAlias(tag), openSandbox: openNetworkKernel });
  const networks = await createNetworks({
    database: wiring.database,
    drivers: { bridge, host: createHostDriver(), ipvlan: slaves("ipvlan"), macvlan: slaves("macvlan"), null: createNullDriver() },
    ipam: createDefaultIpam(pools(wiring)),
    plugins: networkPlugins(kernel, wiring),
    createSandbox: (owner) => createSandbox(kernel, owner),
    ...(wiring.mapsOf ? { mapsOf: wiring.mapsOf } : {}),
    openSandbox: (path) => Netns.open(path),
    setDefaultRoutes: (sandbox, name, gateways) => setDefaultRoutes(sandbox.fd, name, gateways),
    hostPrefixes: async () => [...(await hostPrefixes(kernel)), ...nameservers(wiring.hostResolvConf ?? HOST_RESOLV_CONF)],
    hostRoutes: hostRoutes(kernel),
    ...(settings ? { defaultBridge: settings } : {}),
    defaultOptions: flags.networkOptions,
    events: wiring.events,
    findContainer: wiring.findContainer,
    saveContainer: wiring.saveContainer,
    containerFolder: wiring.containerFolder,
    hostFiles: { hosts: "/etc/hosts", resolvConf: wiring.hostResolvConf ?? HOST_RESOLV_CONF, ipv6: existsSync("/proc/sys/net/ipv6") },
    dns: flags.dns,
    hostGateways: flags.hostGatewayIps,
    ...(wiring.names ? { names: wiring.names } : {}),
    repaired,
    warn,
  });
  return {
    ...networks,
    setFirewall: bridge.setFirewall,
    close: async () => {
      await networks.close();
      kernel.close();
    },
  };
}

const hostRoutes = (kernel: NetworkKernel): HostRoutes => ({
  list: async () => chosenRoutes(await kernel.routes()),
  watch: (changed) => kernel.watchRoutes((changes) => changed(changes && { added: chosenRoutes(changes.added), removed: chosenRoutes(changes.removed) })),
  interface: async (index) => {
    const name = (await kernel.links()).find((link) => link.index === index)?.name;
    return name === undefined ? undefined : { name, addresses: (await kernel.addresses()).filter((one) => one.index === index).map(({ address }) => address.address) };
  },
});

async function createSandbox(kernel: NetworkKernel, owner: SandboxOwner | undefined): ReturnType<NetworkKernel["createSandbox"]> {
  if (!owner || "maps" in owner) return kernel.createSandbox(undefined, owner?.maps);
  const path = `/proc/${owner.pid}/ns/user`;
  if (readlinkSync(path) === readlinkSync("/proc/self/ns/user")) return kernel.createSandbox();
  const users = openSync(path, "r");
  try {
    return await kernel.createSandbox(undefined, users);
  } finally {
    closeSync(users);
  }
}

function networkPlugins(kernel: NetworkKernel, { plugins, warn, netns }: NetworkWiring): NetworkPlugins {
  const hostPath = netns === undefined ? "/proc/self/ns/net" : `/proc/self/fd/${netns}`;
  const driver = byName((name): NetworkDriver => createRemoteDriver({ name, find: () => plugins.find(name, "NetworkDriver"), kernel, openSandbox: openNetworkKernel, hostNamespace: () => Netns.open(hostPath), warn }));
  const ipam = byName((name): Ipam => createRemoteIpam({ name, find: () => plugins.find(name, "IpamDriver") }));
  return {
    driver,
    ipam,
    requireDriver: async (name) => {
      await plugins.find(name, "NetworkDriver");
      return driver(name);
    },
    requireIpam: async (name) => {
      await plugins.find(name, "IpamDriver");
      return ipam(name);
    },
    active: () => plugins.active("NetworkDriver"),
  };
}

async function setDefaultRoutes(sandbox: number, name: string, gateways: readonly IpAddress[]): Promise<void> {
  const inside = openNetworkKernel(sandbox);
  try {
    const link = await inside.link(name);
    if (!link) throw systemError(`the container has no interface ${name} any more: its default route is not set`);
    await inside.apply(gateways.map((gateway) => ({ op: "addRoute", index: link.index, gateway, replace: true })));
  } finally {
    inside.close();
  }
}

/** Tells the daemons of a machine apart by their data roots. */
const daemonTag = (dataRoot: string): string => (createHash("sha256").update(dataRoot).digest().readUInt32BE(0) % 36 ** 4).toString(36).padStart(4, "0");

/** Something of the daemon's was made again after another program took it away. */
export const repairEvent = (dataRoot: string, what: string): Parameters<EventSink["emit"]>[0] => ({ type: "daemon", action: "repair", actor: { id: daemonTag(dataRoot), attributes: { name: what } } });

/** A subnet that held the host's name servers would hide them. */
function nameservers(path: string): IpPrefix[] {
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  return parseResolvConf(text).nameservers.flatMap((server) => parsePrefix(`${server}/32`) ?? []);
}

/** Throws where there is no such bridge; nothing else need be known for that. */
export async function requireBridge(name: string): Promise<void> {
  const kernel = openNetworkKernel(-1);
  const present = await bridgeAddresses(kernel, name).finally(() => kernel.close());
  if (!present) throw noBridge(name);
}

const noBridge = (name: string): Error => systemError(`error creating default "bridge" network: bridge device with non default name ${name} must be created manually`);

async function bridgeSettings(kernel: NetworkKernel, wiring: NetworkWiring, tag: string): Promise<DefaultBridgeSettings | undefined> {
  const { flags } = wiring;
  if (flags.bridge === "none") return undefined;
  const name = flags.bridge === "" ? await freeBridgeName(kernel, ownerAlias(tag)) : flags.bridge;
  const managed = flags.bridge === "";
  const present = await bridgeAddresses(kernel, name);
  if (!managed && !present) throw noBridge(name);
  const { 4: v4, 6: v6 } = present ?? { 4: [], 6: [] };
  const hasLocalRange = isUsualLinkLocal(parsePrefix(flags.fixedCidr6));
  return {
    name,
    managed,
    ...(flags.bip === "" ? {} : { bip: requirePrefix(flags.bip, "--bip") }),
    ...(flags.fixedCidr === "" ? {} : { fixedCidr: networkOf(requirePrefix(flags.fixedCidr, "--fixed-cidr")) }),
    ...routersOf(flags),
    mtu: flags.mtu,
    masquerade: flags.ipMasq,
    icc: flags.icc,
    ipv6: flags.ipv6,
    ...(flags.bip6 === "" ? {} : { bip6: requirePrefix(flags.bip6, "--bip6") }),
    ...(flags.fixedCidr6 === "" ? {} : { fixedCidr6: networkOf(requirePrefix(flags.fixedCidr6, "--fixed-cidr-v6")) }),
    ...(flags.hostBinding === "" ? {} : { hostBinding: flags.hostBinding }),
    present: { 4: v4, 6: hasLocalRange ? v6 : v6.filter((address) => !isUsualLinkLocal(address)) },
    avoid: [...(await hostPrefixes(kernel, name)), ...nameservers(wiring.hostResolvConf ?? HOST_RESOLV_CONF)],
  };
}

const USUAL_LINK_LOCAL = requirePrefix("fe80::/64", "");
/** Where the kernel's own addresses are. */
const isUsualLinkLocal = (prefix: IpPrefix | undefined): boolean => prefix !== undefined && contains(USUAL_LINK_LOCAL, prefix.address);

function routersOf(flags: NetworkFlags): Pick<DefaultBridgeSettings, "routers"> {
  const [v4, v6] = [parseIp(flags.defaultGateway), parseIp(flags.defaultGateway6)];
  return { routers: { ...(v4 ? { 4: v4 } : {}), ...(v6 ? { 6: v6 } : {}) } };
}

/** Daemons of a machine have pools of their own, and the same at each start. */
function pools({ flags: { defaultAddressPools }, dataRoot }: NetworkWiring): readonly DefaultPool[] {
  const asked = defaultAddressPools.map(({ base, size }) => ({ base: requirePrefix(base, "--default-address-pool"), size }));
  const has = (family: IpFamily): boolean => asked.some(({ base }) => base.address.family === family);
  return [...(has(4) ? [] : DOCKER_POOLS), ...asked, ...(has(6) ? [] : [localPool(`${machineId()} ${dataRoot}`)])];
}

function machineId(): string {
  const path = ["/etc/machine-id", "/proc/sys/kernel/hostname"].find(existsSync);
  return path === undefined ? "" : readFileSync(path, "utf8").trim();
}
