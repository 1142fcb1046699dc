/** Addresses from a plugin, by libnetwork's IPAM protocol. The plugin keeps what it gave out; ids of pools are its own. */
import type { AddressPool, Ipam, PoolRequest } from "../../core/ipam.ts";
import { type Plugin, type PluginAnswer, textOf } from "../../core/plugins.ts";
import { systemError } from "../../lib/errors.ts";
import { contains, formatIp, formatPrefix, type IpPrefix, networkOf, parsePrefix } from "../../lib/ip.ts";

export interface RemoteIpamOptions {
  name: string;
  /** Activates the plugin on first use. */
  find: () => Promise<Plugin>;
}

/** An unspecified one says how long it shall be. */
function poolOf({ subnet, length, family }: PoolRequest): string {
  if (subnet) return formatPrefix(subnet);
  return length === undefined ? "" : `${family === 4 ? "0.0.0.0" : "::"}/${length}`;
}

interface Pool {
  subnet: IpPrefix;
}

export function createRemoteIpam({ name, find }: RemoteIpamOptions): Ipam {
  const pools = new Map<string, Pool>();
  let space: Promise<string> | undefined;

  const call = async (method: string, request: object): Promise<PluginAnswer> => (await find()).call(`IpamDriver.${method}`, request);

  const prefixOf = (answer: PluginAnswer, key: string): IpPrefix => {
    const prefix = parsePrefix(textOf(answer, key) ?? "");
    if (!prefix) throw systemError(`IPAM plugin ${name}: ${key} of its answer is ${JSON.stringify(answer[key])}, which is no address with its length`);
    return prefix;
  };

  /** Asked once, of a plugin that answers. */
  const localSpace = (): Promise<string> => {
    space ??= call("GetDefaultAddressSpaces", {}).then((answer) => textOf(answer, "LocalDefaultAddressSpace") ?? "");
    space.catch(() => (space = undefined));
    return space;
  };

  const request = async (asked: PoolRequest): Promise<AddressPool> => {
    const body = { AddressSpace: await localSpace(), Pool: poolOf(asked), SubPool: asked.range ? formatPrefix(asked.range) : "", Options: asked.options ?? {}, V6: asked.family === 6 };
    const answer = await call("RequestPool", body);
    const id = textOf(answer, "PoolID");
    if (id === undefined) throw systemError(`IPAM plugin ${name} named no pool`);
    const subnet = networkOf(prefixOf(answer, "Pool"));
    if (subnet.address.family !== asked.family) throw systemError(`IPAM plugin ${name} gave ${formatPrefix(subnet)} for IPv${asked.family}`);
    pools.set(id, { subnet });
    return { id, subnet };
  };

  return {
    id: name,
    requestPool: async (asked) => {
      if (asked.known === undefined || !asked.subnet) return request(asked);
      pools.set(asked.known, { subnet: asked.subnet });
      return { id: asked.known, subnet: asked.subnet };
    },
    releasePool: async (id) => {
      pools.delete(id);
      await call("ReleasePool", { PoolID: id });
    },
    requestAddress: async (poolId, preferred, purpose) => {
      const options = purpose === "gateway" ? { RequestAddressType: "com.docker.network.gateway" } : {};
      const given = prefixOf(await call("RequestAddress", { PoolID: poolId, Address: preferred ? formatIp(preferred) : "", Options: options }), "Address");
      if (preferred && formatIp(given.address) !== formatIp(preferred)) throw systemError(`IPAM plugin ${name} gave ${formatIp(given.address)} for ${formatIp(preferred)}`);
      const subnet = pools.get(poolId)?.subnet;
      if (subnet && !contains(subnet, given.address)) throw systemError(`IPAM plugin ${name} gave ${formatIp(given.address)}, which is not in ${formatPrefix(subnet)}`);
      return { address: given.address, length: subnet?.length ?? given.length };
    },
    adoptAddress: async () => {},
    releaseAddress: async (poolId, address) => void (await call("ReleaseAddress", { PoolID: poolId, Address: formatIp(address) })),
  };
}
