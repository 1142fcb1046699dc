/**
 * IP address management: which subnet a network has and which address an endpoint gets.
 *
 *   requestPool ──▶ (requestAddress ──▶ releaseAddress)* ──▶ releasePool
 *
 * State is in memory: after a restart the engine requests the recorded pools and addresses again, so nothing can leak.
 * Asynchronous because an IPAM may be a plugin.
 */
import type { IpAddress, IpFamily, IpPrefix } from "../lib/ip.ts";

export interface Ipam {
  readonly id: string;
  /** A pool for one network. "conflict" when the asked subnet overlaps another pool's, or no default pool is free. */
  requestPool(request: PoolRequest): Promise<AddressPool>;
  /** With all its addresses. Unknown pools are ignored. */
  releasePool(poolId: string): Promise<void>;
  /** The lowest free address, or `preferred`: "forbidden" when that one is taken, "invalid-parameter" when it is outside.
   *  "unavailable" when the pool is exhausted. */
  requestAddress(poolId: string, preferred?: IpAddress, purpose?: "gateway"): Promise<IpPrefix>;
  /** Of an IPAM that keeps its state itself: an address that was given out before the daemon's restart. Absent: it is requested again. */
  adoptAddress?(poolId: string, address: IpAddress): Promise<void>;
  /** Free addresses are ignored. */
  releaseAddress(poolId: string, address: IpAddress): Promise<void>;
  /** Undefined where the IPAM does not tell. */
  usage?(poolId: string): Promise<PoolUsage>;
}

export interface PoolUsage {
  /** With those that nobody may have, such as the subnet's own. */
  used: bigint;
  /** Left to choose from. */
  available: bigint;
}

export interface PoolRequest {
  family: IpFamily;
  /** Absent: the first of the default pools that overlaps nothing of `avoid` and no other pool. */
  subnet?: IpPrefix;
  /** Of a subnet that is chosen; absent: as the default pool says. */
  length?: number;
  /** Addresses are chosen from this part of the subnet. */
  range?: IpPrefix;
  /** Of an IPAM that keeps its state itself: the id that the pool had before the daemon's restart. */
  known?: string;
  /** As given with the network (--ipam-opt). */
  options?: Readonly<Record<string, string>>;
  /** Routes of the host. Not applied to an asked subnet. */
  avoid: readonly IpPrefix[];
}

export interface AddressPool {
  id: string;
  subnet: IpPrefix;
}
