/** The daemon's options of this driver, `--storage-opt dm.*`, with Docker's messages. */
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import { parseStorageOptions } from "../../lib/storage-options.ts";
import { parseBool, parseUnsigned } from "../../lib/strconv.ts";
import { parseRamSize } from "../../lib/units.ts";

export const fileSystems = ["ext4", "xfs"] as const;
export type FileSystem = (typeof fileSystems)[number];

export interface Options {
  /** An existing pool, by its name; otherwise one is made of the two devices, or of files in place of those that are not given. */
  thinPool?: string;
  dataDevice?: string;
  metadataDevice?: string;
  loopDataBytes: number;
  loopMetadataBytes: number;
  blockBytes: number;
  /** Undefined: 10 GB, or what the base device has already. */
  baseBytes?: number;
  fileSystem?: FileSystem;
  makeArguments: string[];
  mountOptions: string[];
  /** Blocks that must be free for something new, in percent. */
  leastFreePercent: number;
  discard: boolean;
  deferredRemoval: boolean;
  deferredDeletion: boolean;
  /** How often XFS tries to write its metadata again when the pool is full. */
  xfsRetries?: string;
}

const GIB = 2 ** 30;
const BLOCK_UNIT = 64 << 10;
const MOST_BLOCK = GIB;
export const standardBaseBytes = 10 * GIB;

const unfinished: Readonly<Record<string, string>> = {
  "dm.directlvm_device": "make the volume group and its thin pool with LVM and name the pool with dm.thinpooldev",
  "dm.directlvm_device_force": "see dm.directlvm_device",
  "dm.thinp_percent": "LVM makes the pool (lvcreate --type thin-pool)",
  "dm.thinp_metapercent": "LVM makes the pool (lvcreate --type thin-pool)",
  "dm.thinp_autoextend_threshold": "set thin_pool_autoextend_threshold in LVM's profile",
  "dm.thinp_autoextend_percent": "set thin_pool_autoextend_percent in LVM's profile",
  "dm.libdm_log_level": "the kernel is asked without libdm",
};

type Setter = (options: Options, value: string) => void;

const setters: Readonly<Record<string, Setter>> = {
  "dm.thinpooldev": (options, value) => (options.thinPool = value.replace(/^\/dev\/mapper\//, "")),
  "dm.datadev": (options, value) => (options.dataDevice = value),
  "dm.metadatadev": (options, value) => (options.metadataDevice = value),
  "dm.loopdatasize": (options, value) => (options.loopDataBytes = parseRamSize(value)),
  "dm.loopmetadatasize": (options, value) => (options.loopMetadataBytes = parseRamSize(value)),
  "dm.basesize": (options, value) => (options.baseBytes = parseRamSize(value)),
  "dm.blocksize": (options, value) => (options.blockBytes = blockSize(value)),
  "dm.fs": (options, value) => (options.fileSystem = fileSystem(value)),
  "dm.mkfsarg": (options, value) => options.makeArguments.push(value),
  "dm.mountopt": (options, value) => options.mountOptions.push(value),
  "dm.min_free_space": (options, value) => (options.leastFreePercent = percent(value)),
  "dm.blkdiscard": (options, value) => (options.discard = truth(value)),
  "dm.use_deferred_removal": (options, value) => (options.deferredRemoval = truth(value)),
  "dm.use_deferred_deletion": (options, value) => (options.deferredDeletion = truth(value)),
  // Nodes are the kernel's own: there is nothing to wait for, hence nothing to override.
  "dm.override_udev_sync_check": (_options, value) => void truth(value),
  "dm.xfs_nospace_max_retries": (options, value) => (options.xfsRetries = String(inGo(() => parseUnsigned(value)))),
};

export function parseOptions(given: readonly string[]): Options {
  const parsed = parseStorageOptions(given);
  const options: Options = { loopDataBytes: 100 * GIB, loopMetadataBytes: 2 * GIB, blockBytes: BLOCK_UNIT, makeArguments: [], mountOptions: [], leastFreePercent: 10, discard: true, deferredRemoval: true, deferredDeletion: true };
  for (const [key, value] of parsed) {
    if (Object.hasOwn(unfinished, key)) throw invalidParameter(`devmapper: option ${key} is not supported: ${unfinished[key]}`);
    if (!Object.hasOwn(setters, key)) throw invalidParameter(`devmapper: Unknown option ${key}`);
    setters[key]!(options, value);
  }
  if (options.thinPool !== undefined && (options.dataDevice !== undefined || options.metadataDevice !== undefined)) throw invalidParameter("devmapper: dm.thinpooldev names a whole pool: dm.datadev and dm.metadatadev cannot be given with it");
  if (options.deferredDeletion && !options.deferredRemoval) throw invalidParameter("devmapper: Deferred deletion can not be enabled as deferred removal is not enabled. Enable deferred removal using --storage-opt dm.use_deferred_removal=true parameter");
  // Of real devices it is slow, and seldom of use.
  const isReal = options.thinPool !== undefined || options.dataDevice !== undefined;
  if (isReal && !parsed.some(([key]) => key === "dm.blkdiscard")) options.discard = false;
  return options;
}

function blockSize(value: string): number {
  const bytes = parseRamSize(value);
  if (bytes < BLOCK_UNIT || bytes > MOST_BLOCK || bytes % BLOCK_UNIT !== 0) throw invalidParameter(`devmapper: dm.blocksize must be a multiple of 64K, up to 1G: ${value}`);
  return bytes;
}

function fileSystem(value: string): FileSystem {
  const known = fileSystems.find((name) => name === value);
  if (!known) throw invalidParameter(`devmapper: Unsupported filesystem ${value}`);
  return known;
}

function percent(value: string): number {
  if (!value.endsWith("%")) throw invalidParameter("devmapper: Option dm.min_free_space requires % suffix");
  const number = Number(inGo(() => parseUnsigned(value.slice(0, -1), 32)));
  if (number >= 100) throw invalidParameter(`devmapper: Invalid value ${value} for option dm.min_free_space`);
  return number;
}

const truth = (value: string): boolean => inGo(() => parseBool(value));

/** Go's messages as a user's mistake. */
function inGo<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw invalidParameter(messageOf(error));
  }
}
