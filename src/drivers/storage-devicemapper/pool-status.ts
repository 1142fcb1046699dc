/** What the kernel says of a thin pool and its table (Documentation/admin-guide/device-mapper/thin-provisioning.rst). */
import { systemError } from "../../lib/errors.ts";
import type { Target } from "../../sys/device-mapper.ts";

export const SECTOR = 512;
/** The kernel's, always. */
const METADATA_BLOCK = 4096;

export interface Space {
  used: number;
  total: number;
}

export interface PoolStatus {
  transaction: number;
  /** In blocks. */
  metadata: Space;
  data: Space;
  mode: "rw" | "ro" | "out_of_data_space";
}

/** Throws for a pool that has failed. */
export function parsePoolStatus(name: string, { type, parameters }: Target): PoolStatus {
  if (type !== "thin-pool") throw systemError(`devmapper: Device ${name} is not a thin pool`);
  const match = /^(\d+) (\d+)\/(\d+) (\d+)\/(\d+) \S+ (rw|ro|out_of_data_space)/.exec(parameters);
  if (!match) throw systemError(`devmapper: the thin pool ${name} has failed (${parameters}): stop the daemon, check and repair its metadata with thin_check and thin_repair`);
  const [transaction = 0, metadataUsed = 0, metadataTotal = 0, dataUsed = 0, dataTotal = 0] = match.slice(1, 6).map(Number);
  return { transaction, metadata: { used: metadataUsed, total: metadataTotal }, data: { used: dataUsed, total: dataTotal }, mode: match[6] as PoolStatus["mode"] };
}

export interface PoolTable {
  /** "MAJOR:MINOR". */
  metadata: string;
  data: string;
  blockBytes: number;
}

export function parsePoolTable(name: string, { type, parameters }: Target): PoolTable {
  const [metadata, data, block] = parameters.split(" ");
  if (type !== "thin-pool" || metadata === undefined || data === undefined || !(Number(block) > 0)) throw systemError(`devmapper: Device ${name} is not a thin pool`);
  return { metadata, data, blockBytes: Number(block) * SECTOR };
}

/** Blocks are not zeroed before their first use: file systems write what they read. A full pool refuses instead of waiting to be extended. */
const FEATURES = "2 skip_block_zeroing error_if_no_space";
const LOW_WATER_BLOCKS = 32_768;

export const poolTarget = ({ metadata, data, blockBytes }: PoolTable, dataBytes: number): Target => ({
  sectors: Math.floor(dataBytes / SECTOR),
  type: "thin-pool",
  parameters: `${metadata} ${data} ${blockBytes / SECTOR} ${LOW_WATER_BLOCKS} ${FEATURES}`,
});

/** Throws what Docker says when too few blocks are free for something new. */
export function checkFree({ data, metadata }: PoolStatus, leastPercent: number): void {
  if (leastPercent === 0) return;
  for (const [kind, { used, total }, create] of [["data", data, "free space"], ["metadata", metadata, "free metadata space"]] as const) {
    const least = Math.max(1, Math.floor((total * leastPercent) / 100));
    if (total - used >= least) continue;
    throw systemError(`devmapper: Thin Pool has ${total - used} free ${kind} blocks which is less than minimum required ${least} free ${kind} blocks. Create more ${create} in thin pool or use dm.min_free_space option to change behavior`);
  }
}

/** Throws when the pool has refused to write: whether what is above it is whole is not certain. */
export function checkWritable(name: string, { mode, data, metadata }: PoolStatus): void {
  if (mode === "rw") return;
  const isFull = mode === "out_of_data_space" || data.used >= data.total || metadata.used >= metadata.total;
  throw systemError(`devmapper: ${isFull ? `no space left in the thin pool ${name}: remove images and containers, or extend the pool` : `the thin pool ${name} is read-only: stop the daemon, check and repair its metadata with thin_check and thin_repair`}`);
}

export const bytesOf = ({ metadata, data }: PoolStatus, blockBytes: number): { metadata: Space; data: Space } => ({
  metadata: { used: metadata.used * METADATA_BLOCK, total: metadata.total * METADATA_BLOCK },
  data: { used: data.used * blockBytes, total: data.total * blockBytes },
});
