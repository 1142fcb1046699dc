/** Which addresses endpoints get, and when these are free again: not before the kernel has removed the interface that had them. */
import type { PoolUsage } from "../../core/ipam.ts";
import type { EndpointSettings } from "../../core/container-config.ts";
import { codeOf, systemError } from "../../lib/errors.ts";
import { contains, formatIp, formatPrefix, parseIp } from "../../lib/ip.ts";
import type { IpAddress, IpFamily, IpPrefix } from "../../lib/ip.ts";
import type { NetworkPool } from "./pools.ts";
import type { Network } from "./predefined.ts";

export interface Addresses {
  /** One of each of the families that the network has: what is asked for, or the lowest free ones. */
  choose(network: Network, settings: EndpointSettings, families: readonly IpFamily[]): Promise<IpPrefix[]>;
  /** Takes what a container of an earlier daemon has. */
  adopt(network: Network, addresses: readonly IpPrefix[]): Promise<void>;
  /** By subnet; without those whose IPAM does not tell. What is given back counts as free. */
  usage(network: Network): Promise<Record<string, PoolUsage>>;
  /** Free when `gone` has resolved. */
  release(network: Network, addresses: readonly IpPrefix[], gone: Promise<void>): void;
}

interface Departure {
  pool: string;
  address: IpAddress;
  gone: Promise<void>;
}

/** What the client hears of a pool in which nothing is free. */
export const namingNetwork = (error: unknown, { row }: Pick<Network, "row">, family: IpFamily): unknown =>
  codeOf(error) === "unavailable" ? systemError(`no available IPv${family} addresses on this network's address pools: ${row.name} (${row.id})`, error) : error;

export function createAddresses(): Addresses {
  /** By pool and address. */
  const departing = new Map<string, Departure>();
  const keyOf = (pool: NetworkPool, address: IpAddress): string => `${pool.id} ${formatIp(address)}`;

  /** While addresses are on their way back, waits for the one that is asked for, and for any of the pool when none is left. */
  const request = async (pool: NetworkPool, asked: IpAddress | undefined): Promise<IpPrefix> => {
    for (;;) {
      try {
        return await pool.ipam.requestAddress(pool.id, asked);
      } catch (error) {
        const expected = [...departing].flatMap(([key, { gone: done }]) => (asked ? key === keyOf(pool, asked) : key.startsWith(`${pool.id} `)) ? [done] : []);
        if (!["unavailable", "forbidden"].includes(codeOf(error)) || expected.length === 0) throw error;
        await Promise.race(expected);
      }
    }
  };

  /** From the first that has one. */
  const requestOf = async ([pool, ...others]: readonly NetworkPool[]): Promise<IpPrefix> => {
    try {
      return await request(pool!, undefined);
    } catch (error) {
      if (codeOf(error) !== "unavailable" || others.length === 0) throw error;
      return requestOf(others);
    }
  };

  const usageOf = async (pool: NetworkPool): Promise<PoolUsage | undefined> => {
    const usage = await pool.ipam.usage?.(pool.id);
    const leaving = [...departing.values()].filter((departure) => departure.pool === pool.id);
    const inRange = leaving.filter(({ address }) => contains(pool.range ?? pool.subnet, address));
    return usage && { used: usage.used - BigInt(leaving.length), available: usage.available + BigInt(inRange.length) };
  };

  const free = async (network: Network, addresses: readonly IpPrefix[]): Promise<void> => {
    for (const { address } of addresses) {
      const pool = network.pools.find(({ subnet }) => contains(subnet, address));
      if (pool) await pool.ipam.releaseAddress(pool.id, address);
    }
  };

  return {
    choose: async (network, settings, families) => {
      const chosen: IpPrefix[] = [];
      let family: IpFamily = 4;
      try {
        for (family of families) {
          const asked = parseIp((family === 4 ? settings.IPAMConfig?.IPv4Address : settings.IPAMConfig?.IPv6Address) ?? "");
          const pools = network.pools.filter(({ subnet }) => subnet.address.family === family);
          const pool = asked && pools.find(({ subnet }) => contains(subnet, asked));
          if (pool || (asked && pools[0])) chosen.push(await request(pool ?? pools[0]!, asked));
          else if (pools.length > 0) chosen.push(await requestOf(pools));
        }
        return chosen;
      } catch (error) {
        await free(network, chosen);
        throw namingNetwork(error, network, family);
      }
    },
    usage: async ({ pools }) => {
      const known = await Promise.all(pools.map(async (pool): Promise<[string, PoolUsage | undefined]> => [formatPrefix(pool.subnet), await usageOf(pool)]));
      return Object.fromEntries(known.filter((entry): entry is [string, PoolUsage] => entry[1] !== undefined));
    },
    adopt: async (network, addresses) => {
      for (const { address } of addresses) {
        const pool = network.pools.find(({ subnet }) => contains(subnet, address));
        if (pool?.ipam.adoptAddress) await pool.ipam.adoptAddress(pool.id, address);
        else if (pool) await pool.ipam.requestAddress(pool.id, address);
      }
    },
    release: (network, addresses, gone) => {
      const done = gone.then(() => free(network, addresses));
      const keys = addresses.flatMap(({ address }) => network.pools.filter(({ subnet }) => contains(subnet, address)).map((pool): [string, Departure] => [keyOf(pool, address), { pool: pool.id, address, gone: done }]));
      for (const [key, departure] of keys) departing.set(key, departure);
      void done.finally(() => {
        for (const [key, departure] of keys) if (departing.get(key) === departure) departing.delete(key);
      });
    },
  };
}
