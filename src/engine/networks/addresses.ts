/** Which addresses endpoints get, and when these are free again: not before the kernel has removed the interface that had them. */
import type { Ipam } from "../../core/ipam.ts";
import type { EndpointSettings } from "../../core/container-config.ts";
import { codeOf } from "../../lib/errors.ts";
import { contains, formatIp, parseIp } from "../../lib/ip.ts";
import type { IpAddress, IpPrefix } from "../../lib/ip.ts";
import type { NetworkPool } from "./pools.ts";
import type { Network } from "./predefined.ts";

export interface Addresses {
  /** One of each family that the network has: what is asked for, or the lowest free ones. */
  choose(network: Network, settings: EndpointSettings): Promise<IpPrefix[]>;
  /** Takes what a container of an earlier daemon has. */
  adopt(network: Network, addresses: readonly IpPrefix[]): Promise<void>;
  /** Free when `gone` has resolved. */
  release(network: Network, addresses: readonly IpPrefix[], gone: Promise<void>): void;
}

export function createAddresses(ipam: Ipam): Addresses {
  /** By pool and address. */
  const departing = new Map<string, Promise<void>>();
  const keyOf = (pool: NetworkPool, address: IpAddress): string => `${pool.id} ${formatIp(address)}`;

  /** While addresses are on their way back, waits for the one that is asked for, and for any of the pool when none is left. */
  const request = async (pool: NetworkPool, asked: IpAddress | undefined): Promise<IpPrefix> => {
    for (;;) {
      try {
        return await ipam.requestAddress(pool.id, asked);
      } catch (error) {
        const expected = [...departing].flatMap(([key, done]) => (asked ? key === keyOf(pool, asked) : key.startsWith(`${pool.id} `)) ? [done] : []);
        if (!["unavailable", "forbidden"].includes(codeOf(error)) || expected.length === 0) throw error;
        await Promise.race(expected);
      }
    }
  };

  const free = async (network: Network, addresses: readonly IpPrefix[]): Promise<void> => {
    for (const { address } of addresses) {
      const pool = network.pools.find(({ subnet }) => contains(subnet, address));
      if (pool) await ipam.releaseAddress(pool.id, address);
    }
  };

  return {
    choose: async (network, settings) => {
      const chosen: IpPrefix[] = [];
      try {
        for (const family of [4, 6] as const) {
          const asked = parseIp((family === 4 ? settings.IPAMConfig?.IPv4Address : settings.IPAMConfig?.IPv6Address) ?? "");
          const pools = network.pools.filter(({ subnet }) => subnet.address.family === family);
          const pool = (asked && pools.find(({ subnet }) => contains(subnet, asked))) ?? pools[0];
          if (pool) chosen.push(await request(pool, asked));
        }
        return chosen;
      } catch (error) {
        await free(network, chosen);
        throw error;
      }
    },
    adopt: async (network, addresses) => {
      for (const { address } of addresses) {
        const pool = network.pools.find(({ subnet }) => contains(subnet, address));
        if (pool) await ipam.requestAddress(pool.id, address);
      }
    },
    release: (network, addresses, gone) => {
      const done = gone.then(() => free(network, addresses));
      const keys = addresses.flatMap(({ address }) => network.pools.filter(({ subnet }) => contains(subnet, address)).map((pool) => keyOf(pool, address)));
      for (const key of keys) departing.set(key, done);
      void done.finally(() => {
        for (const key of keys) if (departing.get(key) === done) departing.delete(key);
      });
    },
  };
}
