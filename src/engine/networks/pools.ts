/** The addresses of a network: its subnets from the IPAM, with what is not for containers taken out of them. */
import type { Ipam } from "../../core/ipam.ts";
import { GantryError, codeOf, forbidden, invalidParameter, messageOf, systemError } from "../../lib/errors.ts";
import { formatIp, formatPrefix, parseIp, parsePrefix } from "../../lib/ip.ts";
import type { IpAddress, IpFamily, IpPrefix } from "../../lib/ip.ts";
import { familyOf } from "./definition.ts";
import type { IpamEntry, NetworkDefinition } from "./definition.ts";

export interface NetworkPool {
  /** Who gives its addresses. */
  ipam: Ipam;
  id: string;
  subnet: IpPrefix;
  /** Absent: nobody named one, and the driver makes none. */
  gateway?: IpAddress;
  /** Where default routes go instead of to the gateway. */
  router?: IpAddress;
  range?: IpPrefix;
}

export interface OpenedPools {
  pools: NetworkPool[];
  /** The entries as asked for, with what was chosen. */
  config: IpamEntry[];
}

/** Docker's names of auxiliary addresses that are routers. */
export const ROUTER_NAME = { 4: "DefaultGatewayIPv4", 6: "DefaultGatewayIPv6" } as const;

/** Of the network itself, not of a container. */
async function reserve(ipam: Ipam, pool: string, { address, what, purpose }: { address: IpAddress | undefined; what: string; purpose?: "gateway" }): Promise<IpAddress> {
  try {
    return (await ipam.requestAddress(pool, address, purpose)).address;
  } catch (error) {
    throw systemError(`failed to allocate ${what}: ${messageOf(error)}`, error);
  }
}

const NOTHING: IpamEntry = { subnet: "", range: "", gateway: "", aux: null };

interface OpenOptions {
  /** What the host routes now. */
  avoid: () => Promise<readonly IpPrefix[]>;
  /** What the driver says of each family. */
  gateways: (family: IpFamily) => "own" | "asked" | "none";
}

/** Docker's IPAM for networks whose endpoints have no addresses of the engine's. */
export const NULL_IPAM = "null";
const EVERYTHING = { 4: "0.0.0.0/0", 6: "::/0" } as const;

/** No pools: what is shown for them says so. */
function withoutPools({ ipv4, ipv6, ipam: { config } }: NetworkDefinition): OpenedPools {
  const known: string[] = Object.values(EVERYTHING);
  for (const { subnet, range } of config) {
    if (subnet !== "" && !known.includes(subnet)) throw invalidParameter("null ipam driver does not handle specific address pool requests");
    if (range !== "") throw invalidParameter("null ipam driver does not handle specific address subpool requests");
  }
  const families = ([[4, ipv4], [6, ipv6]] as const).flatMap(([family, wanted]) => (wanted ? [family] : []));
  return { pools: [], config: families.map((family) => ({ ...NOTHING, subnet: EVERYTHING[family] })) };
}

/** All or none. Families without an entry get a subnet of the default pools that overlaps none of `avoid`. */
export async function openPools(ipam: Ipam, definition: NetworkDefinition, options: OpenOptions): Promise<OpenedPools> {
  const { ipv4, ipv6, ipam: { driver, config, options: given, pools: ids } } = definition;
  if (driver === NULL_IPAM) return withoutPools(definition);
  const pools: NetworkPool[] = [];
  const known = new Map<IpamEntry, IpamEntry>();
  const chosen: IpamEntry[] = [];
  try {
    for (const [family, wanted] of [[4, ipv4], [6, ipv6]] as const) {
      if (!wanted) continue;
      const entries = config.filter((entry) => familyOf(entry) === family);
      for (const entry of entries) known.set(entry, await openEntry(ipam, { entry, family, ...options, given, known: ids?.[entry.subnet] }, pools));
      if (entries.length === 0) chosen.push(await openEntry(ipam, { entry: NOTHING, family, ...options, given, known: undefined }, pools));
    }
  } catch (error) {
    await closePools(pools);
    throw error;
  }
  return { pools, config: [...config.map((entry) => known.get(entry) ?? entry), ...chosen] };
}

export async function closePools(pools: readonly NetworkPool[]): Promise<void> {
  for (const { ipam, id } of pools) await ipam.releasePool(id);
}

interface EntryOptions extends OpenOptions {
  entry: IpamEntry;
  family: IpFamily;
  /** For the IPAM. */
  given: Readonly<Record<string, string>> | null;
  /** The id that the pool had before the daemon's restart. */
  known: string | undefined;
}

async function openEntry(ipam: Ipam, { entry, family, avoid, gateways, given, known }: EntryOptions, pools: NetworkPool[]): Promise<IpamEntry> {
  const asked = parsePrefix(entry.subnet);
  const range = parsePrefix(entry.range);
  // An unspecified one says how long it shall be.
  const subnet = asked && asked.address.value !== 0n ? { subnet: asked } : undefined;
  const pool = await requestPool(ipam, { family, avoid: subnet ? [] : await avoid(), ...subnet, ...(asked && !subnet && asked.length > 0 ? { length: asked.length } : {}), ...(range ? { range } : {}), ...(known === undefined ? {} : { known }), ...(given ? { options: given } : {}) });
  const opened: NetworkPool = { ipam, id: pool.id, subnet: pool.subnet, ...(range ? { range } : {}) };
  pools.push(opened);
  const adopts = known !== undefined && ipam.adoptAddress !== undefined;
  const gateway = parseIp(entry.gateway);
  const router = gateways(family) === "own" ? parseIp(entry.aux?.[ROUTER_NAME[family]] ?? "") : undefined;
  if (router) opened.router = router;
  if (gateway || gateways(family) === "own") opened.gateway = adopts && gateway ? gateway : await reserve(ipam, pool.id, { address: gateway, what: `gateway (${entry.gateway})`, purpose: "gateway" });
  for (const [name, aux] of adopts ? [] : Object.entries(entry.aux ?? {})) await reserve(ipam, pool.id, { address: parseIp(aux), what: `secondary ip address (${name}:${aux})` });
  return { ...entry, subnet: formatPrefix(pool.subnet), gateway: opened.gateway ? formatIp(opened.gateway) : "" };
}

/** Docker's words for subnets that cannot be. */
async function requestPool(ipam: Ipam, request: Parameters<Ipam["requestPool"]>[0]): ReturnType<Ipam["requestPool"]> {
  try {
    return await ipam.requestPool(request);
  } catch (error) {
    if (codeOf(error) === "conflict") throw request.subnet ? forbidden(`invalid pool request: ${messageOf(error)}`, error) : new GantryError("not-found", messageOf(error), { cause: error });
    throw error;
  }
}
