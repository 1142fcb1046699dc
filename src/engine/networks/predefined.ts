/** The networks that every daemon has: bridge, host and none. */
import type { Ipam } from "../../core/ipam.ts";
import type { NetworkDriver, NetworkSpec } from "../../core/network.ts";
import { invalidParameter } from "../../lib/errors.ts";
import { contains, formatIp, formatPrefix, networkOf, overlaps, parsePrefix } from "../../lib/ip.ts";
import type { IpAddress, IpFamily, IpPrefix } from "../../lib/ip.ts";
import type { NetworkDefinition } from "./definition.ts";
import type { NetworkPool } from "./pools.ts";
import type { NetworkRow, NetworkStore } from "./store.ts";

/** A network as the engine runs it. */
export interface Network {
  row: NetworkRow;
  driver: NetworkDriver;
  spec: NetworkSpec;
  /** Of a user-defined one. */
  definition?: NetworkDefinition;
  /** Empty where endpoints have no addresses. */
  pools: NetworkPool[];
}

/** What the daemon's flags say about the default bridge. */
export interface DefaultBridgeSettings {
  /** The interface. */
  name: string;
  /** The daemon makes it and changes its addresses; otherwise it is the user's, and stays as it is. */
  managed: boolean;
  /** --bip: the bridge's address and its subnet. */
  bip?: IpPrefix;
  /** --fixed-cidr: the part of the subnet that containers' addresses are from. */
  fixedCidr?: IpPrefix;
  /** 0: the default. */
  mtu: number;
  masquerade: boolean;
  /** --icc. */
  icc: boolean;
  /** The addresses that the interface has already. */
  present: Record<IpFamily, readonly IpPrefix[]>;
  /** --default-gateway and --default-gateway-v6; absent: the bridge is the router. */
  routers: Partial<Record<IpFamily, IpAddress>>;
  /** IPv6 too. */
  ipv6: boolean;
  /** --bip6 and --fixed-cidr-v6. */
  bip6?: IpPrefix;
  fixedCidr6?: IpPrefix;
  /** --ip; absent: everywhere. */
  hostBinding?: string;
  /** The host's routes. */
  avoid: readonly IpPrefix[];
}

export function plainNetwork(store: NetworkStore, name: string, driver: NetworkDriver): Network {
  const row = store.predefined(name, driver.id);
  return { row, driver, spec: { id: row.id, name, options: {}, internal: false, subnets: [] }, pools: [] };
}

interface OpenOptions {
  store: NetworkStore;
  driver: NetworkDriver;
  ipam: Ipam;
  settings: DefaultBridgeSettings;
  warn: (message: string) => void;
}

/** Chooses the subnets, reserves the gateways and makes the network. */
export async function openBridgeNetwork(options: OpenOptions): Promise<Network> {
  const { store, driver, settings } = options;
  const row = store.predefined("bridge", driver.id);
  const pools = [await openFamily(options, row, 4), ...(settings.ipv6 ? [await openFamily(options, row, 6)] : [])];
  store.setSubnet(row.id, pools.map(({ subnet, gateway }) => formatPrefix({ address: gateway, length: subnet.length })).join(" "));
  const spec: NetworkSpec = { id: row.id, name: "bridge", options: bridgeLabels(settings), internal: false, subnets: pools.map(({ subnet, gateway }) => ({ subnet, gateway })) };
  driver.validate(spec);
  await driver.createNetwork(spec);
  return { row, driver, spec, pools };
}

async function openFamily(options: OpenOptions, row: NetworkRow, family: IpFamily): Promise<NetworkPool & { gateway: IpAddress }> {
  const { ipam, settings } = options;
  const { wanted, range } = chosenSubnet(options, row, family);
  const pool = await ipam.requestPool({ family, avoid: settings.avoid, ...(wanted ?? range ? { subnet: networkOf((wanted ?? range)!) } : {}), ...(range ? { range } : {}) });
  const gateway = (await ipam.requestAddress(pool.id, wanted && wanted.address.value !== networkOf(wanted).address.value ? wanted.address : firstHost(pool.subnet))).address;
  const router = settings.routers[family];
  if (router && !contains(pool.subnet, router)) throw invalidParameter(`invalid ${family === 4 ? "--default-gateway" : "--default-gateway-v6"} ${formatIp(router)}: it is not inside the default bridge's subnet ${formatPrefix(pool.subnet)}`);
  if (router && router.value !== gateway.value) await ipam.requestAddress(pool.id, router);
  return { ipam, id: pool.id, subnet: pool.subnet, gateway, ...(range ? { range } : {}), ...(router ? { router } : {}) };
}

/** As dockerd chooses: what is named, what the interface has, what it was last time; a range that contradicts the last two wins. */
function chosenSubnet({ settings, warn }: OpenOptions, row: NetworkRow, family: IpFamily): { wanted: IpPrefix | undefined; range: IpPrefix | undefined } {
  const [asked, range, flag] = family === 4 ? [settings.bip, settings.fixedCidr, "fixed-cidr"] : [settings.bip6, settings.fixedCidr6, "fixed-cidr-v6"];
  const found = asked ?? presentSubnet(settings.present[family], range) ?? recorded(row, { settings, family, warn });
  if (!range || !found) return { wanted: found, range };
  const fits = contains(found, range.address);
  if (fits && range.length >= found.length) return { wanted: found, range };
  if (asked) throw invalidParameter(`--${flag} ${formatPrefix(range)} is not inside the bridge's subnet ${formatPrefix(networkOf(asked))}`);
  if (settings.managed) return { wanted: fits ? { address: found.address, length: range.length } : undefined, range };
  const text = `${flag}=${formatPrefix(range)} is outside any subnet implied by addresses on the user-managed default bridge`;
  if (family === 6) throw invalidParameter(text);
  warn(text);
  return { wanted: found, range: undefined };
}

/** The interface's address whose subnet holds the range, else one in it, else the first. */
function presentSubnet(present: readonly IpPrefix[], range: IpPrefix | undefined): IpPrefix | undefined {
  if (!range) return present[0];
  return present.find((one) => contains(one, range.address)) ?? present.find((one) => contains(range, one.address)) ?? present[0];
}

const firstHost = (subnet: IpPrefix): IpAddress => ({ family: subnet.address.family, value: networkOf(subnet).address.value + 1n });

/** The subnet of the last run, unless the host routes it elsewhere by now. */
function recorded(row: NetworkRow, { settings, family, warn }: { settings: DefaultBridgeSettings; family: IpFamily; warn: (message: string) => void }): IpPrefix | undefined {
  const subnet = (row.subnet ?? "").split(" ").map(parsePrefix).find((prefix) => prefix?.address.family === family);
  if (!subnet) return undefined;
  const other = settings.avoid.find((route) => overlaps(route, subnet));
  if (other) warn(`the subnet ${formatPrefix(networkOf(subnet))} of the network bridge overlaps the host's route to ${formatPrefix(other)}: another one is chosen`);
  return other ? undefined : subnet;
}

function bridgeLabels(settings: DefaultBridgeSettings): Record<string, string> {
  return {
    "com.docker.network.bridge.default_bridge": "true",
    "com.docker.network.bridge.enable_icc": String(settings.icc),
    "com.docker.network.bridge.enable_ip_masquerade": String(settings.masquerade),
    "com.docker.network.bridge.host_binding_ipv4": settings.hostBinding ?? "0.0.0.0",
    "com.docker.network.bridge.name": settings.name,
    "com.docker.network.driver.mtu": String(settings.mtu || 1500),
  };
}

