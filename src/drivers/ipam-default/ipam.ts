/** The built-in IPAM: subnets from the default address pools, the lowest free address of a subnet. */
import { hash } from "node:crypto";
import type { AddressPool, Ipam, PoolRequest, PoolUsage } from "../../core/ipam.ts";
import { GantryError, conflict, invalidParameter, notFound } from "../../lib/errors.ts";
import { bitsOf, contains, firstAddress, formatIp, formatPrefix, lastAddress, networkOf, overlaps, parsePrefix } from "../../lib/ip.ts";
import type { IpAddress, IpPrefix } from "../../lib/ip.ts";
import { AddressRange } from "./address-range.ts";

/** Subnets of `size` bits inside `base`: one entry of the daemon's --default-address-pool. */
export interface DefaultPool {
  base: IpPrefix;
  size: number;
}

const pool = (base: string, size: number): DefaultPool => ({ base: parsePrefix(base)!, size });

/** Docker's: fifteen /16 and sixteen /20. */
export const DOCKER_POOLS: readonly DefaultPool[] = [pool("172.17.0.0/16", 16), pool("172.18.0.0/15", 16), pool("172.20.0.0/14", 16), pool("172.24.0.0/13", 16), pool("192.168.0.0/16", 20)];

/** For IPv6 where no default pool is: 65,536 subnets of unique local addresses (RFC 4193), which are this machine's own by its `seed`. */
export const localPool = (seed: string): DefaultPool => ({ base: { address: { family: 6, value: (0xfdn << 120n) | (BigInt(`0x${hash("sha256", seed).slice(0, 10)}`) << 80n) }, length: 48 }, size: 64 });

export function createDefaultIpam(pools: readonly DefaultPool[] = DOCKER_POOLS): Ipam {
  const open = new Map<string, OpenPool>();
  let opened = 0;
  const find = (id: string): OpenPool => {
    const found = open.get(id);
    if (!found) throw notFound(`no address pool ${id}`);
    return found;
  };
  const inTheWay = (subnet: IpPrefix, avoid: readonly IpPrefix[]): IpPrefix | undefined => [...avoid, ...[...open.values()].map((other) => other.subnet)].find((other) => overlaps(other, subnet));
  return {
    id: "default",
    requestPool: async (request) => {
      const subnet = request.subnet ? askedSubnet(request.subnet, inTheWay) : freeSubnet(pools, request, inTheWay);
      // Of its own: what was given out of an earlier pool of the subnet may come back late.
      const made = new OpenPool(`${formatPrefix(subnet)} ${++opened}`, subnet, request.range);
      open.set(made.id, made);
      return made;
    },
    releasePool: async (id) => void open.delete(id),
    requestAddress: async (id, preferred) => (preferred ? find(id).take(preferred) : find(id).choose()),
    releaseAddress: async (id, address) => open.get(id)?.release(address),
    usage: async (id) => find(id).usage(),
  };
}

type InTheWay = (subnet: IpPrefix, avoid: readonly IpPrefix[]) => IpPrefix | undefined;

function askedSubnet(asked: IpPrefix, inTheWay: InTheWay): IpPrefix {
  const subnet = networkOf(asked);
  if (inTheWay(subnet, [])) throw conflict("Pool overlaps with other one on this address space");
  return subnet;
}

function freeSubnet(pools: readonly DefaultPool[], { family, length, avoid }: PoolRequest, inTheWay: InTheWay): IpPrefix {
  for (const { base, size } of pools) {
    if (base.address.family !== family || (length ?? size) < base.length) continue;
    const found = firstFree(base, length ?? size, (subnet) => inTheWay(subnet, avoid));
    if (found) return found;
  }
  throw conflict("all predefined address pools have been fully subnetted");
}

/** Behind what is in the way it goes on at once: a large pool has more small subnets than could be looked at. */
function firstFree(base: IpPrefix, length: number, inTheWay: (subnet: IpPrefix) => IpPrefix | undefined): IpPrefix | undefined {
  const { family } = base.address;
  const step = 1n << BigInt(bitsOf(family) - length);
  const last = lastAddress(base).value;
  let value = networkOf(base).address.value;
  while (value <= last) {
    const candidate: IpPrefix = { address: { family, value }, length };
    const other = inTheWay(candidate);
    if (!other) return candidate;
    value = (lastAddress(other.length < length ? other : candidate).value / step + 1n) * step;
  }
  return undefined;
}

class OpenPool implements AddressPool {
  readonly id: string;
  readonly subnet: IpPrefix;
  readonly #range: AddressRange;

  constructor(id: string, subnet: IpPrefix, range: IpPrefix | undefined) {
    if (range && !(contains(subnet, firstAddress(range)) && contains(subnet, lastAddress(range)))) throw invalidParameter(`range ${formatPrefix(range)} is not inside subnet ${formatPrefix(subnet)}`);
    this.id = id;
    this.subnet = subnet;
    this.#range = new AddressRange(...usable(subnet, range ?? subnet));
  }

  choose(): IpPrefix {
    const value = this.#range.takeLowest();
    if (value === undefined) throw new GantryError("unavailable", "no available addresses on this pool");
    return { address: { family: this.subnet.address.family, value }, length: this.subnet.length };
  }

  take(address: IpAddress): IpPrefix {
    if (!contains(this.subnet, address)) throw invalidParameter(`no configured subnet contains IP address ${formatIp(address)}`);
    if (isOwn(this.subnet, address) || !this.#range.take(address.value)) throw new GantryError("forbidden", "Address already in use");
    return { address, length: this.subnet.length };
  }

  release(address: IpAddress): void {
    this.#range.release(address.value);
  }

  usage(): PoolUsage {
    return { used: this.#range.used + BigInt(ownAddresses(this.subnet)), available: this.#range.free };
  }
}

const isOwn = (subnet: IpPrefix, { value }: IpAddress): boolean => ownAddresses(subnet) > 0 && (value === firstAddress(subnet).value || (subnet.address.family === 4 && value === lastAddress(subnet).value));

/** A network address and a broadcast, or an anycast address; nobody gets them. */
function ownAddresses({ address: { family }, length }: IpPrefix): number {
  if (family === 6) return 1;
  return length > 30 ? 0 : 2;
}

/** The chosen part without the subnet's network address (IPv6: the subnet-router anycast) and IPv4 broadcast; /31 and /32 have neither. */
function usable(subnet: IpPrefix, range: IpPrefix): [first: bigint, last: bigint] {
  let first = firstAddress(range).value;
  let last = lastAddress(range).value;
  if (ownAddresses(subnet) === 0) return [first, last];
  if (first === firstAddress(subnet).value) first++;
  if (subnet.address.family === 4 && last === lastAddress(subnet).value) last--;
  return [first, last];
}
