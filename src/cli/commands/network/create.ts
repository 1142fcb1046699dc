import { keyValues } from "../../create/key-values.ts";
import { checkLabel } from "../../create/checks.ts";
import { formatEgress, parseEgress } from "../../../lib/egress.ts";
import { quote } from "../../../lib/strconv.ts";
import { bitsOf, parseIp } from "../../../lib/ip.ts";
import type { IpAddress } from "../../../lib/ip.ts";
import type { FlagValues } from "../../../lib/flags.ts";
import type { FlagCheck } from "../../flag-types.ts";
import { parseCsv } from "../../parse/csv.ts";
import type { Session } from "../../session.ts";

export const checks: Record<string, FlagCheck> = { label: checkLabel, egress: (rule) => formatEgress(parseEgress(rule)) };

interface PoolConfig {
  Subnet: string;
  IPRange?: string;
  Gateway?: string;
  AuxiliaryAddresses: Record<string, string>;
}

export async function run(session: Session): Promise<void> {
  const { flags, args } = session;
  const pools = poolConfigs(flags);
  const body = {
    Name: args[0] as string,
    Driver: flags.string("driver"),
    Scope: flags.string("scope"),
    ...(flags.changed("ipv4") ? { EnableIPv4: flags.bool("ipv4") } : {}),
    ...(flags.changed("ipv6") ? { EnableIPv6: flags.bool("ipv6") } : {}),
    IPAM: { Driver: flags.string("ipam-driver"), Options: keyValues(flags.list("ipam-opt")), Config: pools },
    Internal: flags.bool("internal"),
    Attachable: flags.bool("attachable"),
    Ingress: flags.bool("ingress"),
    ConfigOnly: flags.bool("config-only"),
    ConfigFrom: flags.string("config-from") === "" ? null : { Network: flags.string("config-from") },
    Options: { ...keyValues(flags.list("opt")), ...(flags.changed("egress") ? { "gantry.network.egress": flags.list("egress").join(",") } : {}) },
    Labels: keyValues(flags.list("label")),
  };
  const { Id } = await session.client.json<{ Id: string }>("POST", "/networks/create", { json: body });
  session.out.line(Id);
}

interface Prefix {
  address: IpAddress;
  bits: number;
}

/** Go's netip.ParsePrefix with its words. */
function parsePrefix(text: string): Prefix {
  const slash = text.lastIndexOf("/");
  if (slash < 0) throw new Error(`netip.ParsePrefix(${quote(text)}): no '/'`);
  const address = parseIp(text.slice(0, slash));
  if (!address) throw new Error(`netip.ParsePrefix(${quote(text)}): ParseAddr(${quote(text.slice(0, slash))}): unable to parse IP`);
  const bits = Number(text.slice(slash + 1));
  if (!/^\d+$/.test(text.slice(slash + 1)) || bits > bitsOf(address.family)) throw new Error(`netip.ParsePrefix(${quote(text)}): prefix length out of range`);
  return { address, bits };
}

function contains(outer: Prefix, inner: IpAddress): boolean {
  const shift = BigInt(bitsOf(outer.address.family) - outer.bits);
  return outer.address.family === inner.family && outer.address.value >> shift === inner.value >> shift;
}

/** Subnets with what was said about each. Throws an Error with Docker's words. */
export function poolConfigs(flags: FlagValues): PoolConfig[] {
  const slice = (name: string): string[] => flags.list(name).flatMap(parseCsv);
  const [subnets, ranges, gateways] = [slice("subnet"), slice("ip-range"), slice("gateway")];
  if (subnets.length < ranges.length || subnets.length < gateways.length) throw new Error("every ip-range or gateway must have a corresponding subnet");
  const pools = subnets.map((text) => ({ prefix: parsePrefix(text), config: { Subnet: text, AuxiliaryAddresses: {} } as PoolConfig }));
  pools.forEach((pool, index) => {
    if (pools.slice(0, index).some((earlier) => contains(earlier.prefix, pool.prefix.address) || contains(pool.prefix, earlier.prefix.address))) throw new Error("multiple overlapping subnet configuration is not supported");
  });
  const home = (address: IpAddress | undefined): (typeof pools)[number] | undefined => address && pools.find((pool) => contains(pool.prefix, address));
  for (const range of ranges) {
    const pool = home(parsePrefix(range).address);
    if (!pool) throw new Error(`no matching subnet for range ${range}`);
    if (pool.config.IPRange) throw new Error(`cannot configure multiple ranges (${range}, ${pool.config.IPRange}) on the same subnet (${pool.config.Subnet})`);
    pool.config.IPRange = range;
  }
  for (const gateway of gateways) {
    const pool = home(parseIp(gateway));
    if (!pool) throw new Error(`no matching subnet for gateway ${gateway}`);
    if (pool.config.Gateway) throw new Error(`cannot configure multiple gateways (${gateway}, ${pool.config.Gateway}) for the same subnet (${pool.config.Subnet})`);
    pool.config.Gateway = gateway;
  }
  for (const [name, address] of Object.entries(keyValues(flags.list("aux-address")))) {
    const pool = home(parseIp(address));
    if (!pool) throw new Error(`no matching subnet for aux-address ${address}`);
    pool.config.AuxiliaryAddresses[name] = address;
  }
  return pools.map((pool) => pool.config);
}
