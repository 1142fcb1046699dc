/** The thin pool that a daemon works with: the one that is named, one that was left by an earlier daemon, or a new one. */
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { invalidParameter, messageOf, systemError, unavailable } from "../../lib/errors.ts";
import { command, DeviceMapper, dmFlag, type Target, targetTypesOf } from "../../sys/device-mapper.ts";
import { attachLoop, deviceNumbers, fileOfLoop, numbersOf, sizeOfDevice } from "../../sys/loop-device.ts";
import type { Options } from "./options.ts";
import { parsePoolStatus, parsePoolTable, poolTarget, type PoolTable } from "./pool-status.ts";
import type { Records } from "./records.ts";

export interface Pool extends PoolTable {
  dm: DeviceMapper;
  name: string;
  /** Of the names of its devices. */
  prefix: string;
  /** Of this daemon, not the user's. */
  isOwn: boolean;
  /** Its files, where it has no devices. */
  files: { data?: string; metadata?: string };
}

/** A number of the pool, too, by which it is known again. */
const MOST_FIRST_TRANSACTION = 2 ** 40;

/** Throws "unavailable" where the kernel has no thin pools. */
export function openDeviceMapper(): DeviceMapper {
  let dm = tryOpen();
  if (!dm || !targetTypesOf(dm.callNow(command.targets, {})).includes("thin-pool")) {
    spawnSync("modprobe", ["dm_thin_pool"]);
    dm ??= tryOpen();
  }
  if (dm && targetTypesOf(dm.callNow(command.targets, {})).includes("thin-pool")) return dm;
  dm?.close();
  throw unavailable("the devicemapper storage driver needs the kernel's device mapper with thin pools (CONFIG_DM_THIN_PROVISIONING; modprobe dm_thin_pool), which this machine has not");
}

function tryOpen(): DeviceMapper | undefined {
  try {
    return new DeviceMapper();
  } catch {
    return undefined;
  }
}

export function openPool(dm: DeviceMapper, records: Records, options: Options): Pool {
  const { dev, ino } = statSync(records.dir);
  const prefix = `gantry-${deviceNumbers(dev)}-${ino}`;
  const name = options.thinPool ?? `${prefix}-pool`;
  const found = options.thinPool === undefined ? kept(dm, name) : dm.status(name, "table");
  const common = { dm, name, prefix, isOwn: options.thinPool === undefined };
  if (options.thinPool !== undefined) {
    if (!found) throw invalidParameter(`devmapper: there is no device ${name} for dm.thinpooldev`);
    return { ...common, ...parsePoolTable(name, found), files: {} };
  }
  if (!found) return { ...common, ...make(dm, name, records, options) };
  const table = parsePoolTable(name, found);
  const files = filesOf(table);
  for (const [kind, file] of Object.entries(files)) if (file !== realpathSync(join(records.poolFolder, kind))) throw systemError(`devmapper: the thin pool ${name} has ${file}, which is not of this data root`);
  return { ...common, ...table, files };
}

/** An earlier daemon may have let it go while containers were using it: it stays, unless the last of them has just ended. */
function kept(dm: DeviceMapper, name: string): Target | undefined {
  if (((dm.find(name)?.flags ?? 0) & dmFlag.deferredRemove) !== 0) {
    try {
      dm.callNow(command.message, { name, message: "@cancel_deferred_remove" });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENXIO") throw error;
    }
  }
  return dm.status(name, "table");
}

function filesOf({ data, metadata }: PoolTable): Pool["files"] {
  const files = { data: fileOfLoop(data), metadata: fileOfLoop(metadata) };
  return { ...(files.data !== undefined && { data: files.data }), ...(files.metadata !== undefined && { metadata: files.metadata }) };
}

function make(dm: DeviceMapper, name: string, records: Records, options: Options): PoolTable & Pick<Pool, "files"> {
  using stack = new DisposableStack();
  const device = (given: string | undefined, kind: "data" | "metadata", bytes: number): string => (given === undefined ? stack.use(attachLoop(fileOf(records, kind, bytes))).path : given);
  try {
    const data = device(options.dataDevice, "data", options.loopDataBytes);
    const metadata = device(options.metadataDevice, "metadata", options.loopMetadataBytes);
    const table = { metadata: numbersOf(metadata), data: numbersOf(data), blockBytes: options.blockBytes };
    dm.makeNow(name, poolTarget(table, sizeOfDevice(data)));
    return { ...table, files: filesOf(table) };
  } catch (error) {
    throw systemError(`devmapper: cannot make the thin pool ${name}: ${messageOf(error)}; the kernel's log says more`, error);
  }
}

/** Sparse; grows when more is asked for, and never shrinks. */
function fileOf({ poolFolder }: Records, kind: string, bytes: number): string {
  mkdirSync(poolFolder, { recursive: true, mode: 0o700 });
  const file = join(poolFolder, kind);
  const fd = openSync(file, existsSync(file) ? "r+" : "wx+", 0o600);
  try {
    if (statSync(file).size < bytes) ftruncateSync(fd, bytes);
  } finally {
    closeSync(fd);
  }
  return file;
}

/** A pool that nobody uses; one in use stays as it is. */
export function closePool({ dm, name, isOwn }: Pool): void {
  if (!isOwn) return;
  try {
    dm.callNow(command.remove, { name });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EBUSY") throw error;
  }
}

/** Throws when the pool is not the one that the records are of. A pool without records is taken when it is empty. */
export function takeOwnership({ dm, name }: Pool, records: Records): void {
  const target = dm.status(name);
  if (!target) throw systemError(`devmapper: Device ${name} is not a thin pool`);
  const { transaction, data } = parsePoolStatus(name, target);
  const state = records.state;
  if (state) {
    const isOpen = state.device !== undefined && transaction === state.transaction - 1;
    if (transaction === state.transaction || isOpen) return;
    // It was written down and the pool did not get to it.
    if (transaction !== 0 || records.all().size > 0) throw invalidParameter(`devmapper: the thin pool ${name} has transaction id ${transaction}, and ${state.transaction} was expected. Possibly using a different thin pool than last invocation`);
  } else {
    if (data.used !== 0) throw invalidParameter(`devmapper: Unable to take ownership of thin-pool (${name}) that already has used data blocks`);
    if (transaction !== 0) throw invalidParameter(`devmapper: Unable to take ownership of thin-pool (${name}) with non-zero transaction ID`);
  }
  const first = state?.transaction ?? 1 + Math.floor(Math.random() * MOST_FIRST_TRANSACTION);
  records.writeStateNow({ transaction: first });
  dm.callNow(command.message, { name, message: `set_transaction_id 0 ${first}` });
}
