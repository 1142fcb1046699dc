/**
 * What the disk knows of the pool and its devices. Everything is there after a loss of power, too, when its call has ended.
 *
 *   <dir>/pool/data, metadata   the files of a pool that has no devices of its own
 *   <dir>/pool/state.json       { transaction, device? }: the pool's transaction id; while a device is made the next one, and the device
 *   <dir>/pool/base.json        the device with an empty file system, which layers without a parent begin with
 *   <dir>/pool/deleted/<id>     { device, bytes } that is to be deleted, with its snapshot
 *   <dir>/<snapshot>/device     { device, bytes, limit? }
 *   <dir>/<snapshot>/init       the same, of a committed one with what containers always have
 *   base-making.json, init-making  the same before they have all that they should
 */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";

export interface PoolState {
  transaction: number;
  /** The one that is being made. */
  device?: number;
}

export interface DeviceRecord {
  device: number;
  bytes: number;
  /** What the container asked for. */
  limit?: number;
}

export interface BaseRecord extends DeviceRecord {
  fileSystem: "ext4" | "xfs";
  /** Its file system has not got all of its bytes yet. */
  isGrowing?: boolean;
}

/** Of a snapshot's folder. */
export const recordNames = ["device", "init", "init-making"] as const;
export type RecordName = (typeof recordNames)[number];

export class Records {
  readonly dir: string;
  readonly poolFolder: string;

  constructor(dir: string) {
    this.dir = dir;
    this.poolFolder = join(dir, "pool");
    mkdirSync(this.#deletedFolder, { recursive: true, mode: 0o700 });
  }

  get #deletedFolder(): string {
    return join(this.poolFolder, "deleted");
  }

  get state(): PoolState | undefined {
    return read<PoolState>(join(this.poolFolder, "state.json"));
  }

  writeState(state: PoolState): Promise<void> {
    return writeRecord(join(this.poolFolder, "state.json"), state);
  }

  writeStateNow(state: PoolState): void {
    writeRecordNow(join(this.poolFolder, "state.json"), state);
  }

  basePath(state: "made" | "making"): string {
    return join(this.poolFolder, state === "made" ? "base.json" : "base-making.json");
  }

  base(state: "made" | "making"): BaseRecord | undefined {
    return read<BaseRecord>(this.basePath(state));
  }

  async rename(from: string, to: string): Promise<void> {
    renameSync(from, to);
    await sync(dirname(to));
  }

  /** Devices that were to be deleted, with their bytes. */
  deleted(): DeviceRecord[] {
    return readdirSync(this.#deletedFolder).filter((name) => /^\d+$/.test(name)).map((name) => read<DeviceRecord>(join(this.#deletedFolder, name))!);
  }

  markDeleted({ device, bytes }: DeviceRecord): Promise<void> {
    return writeRecord(join(this.#deletedFolder, String(device)), { device, bytes });
  }

  markDeletedNow({ device, bytes }: DeviceRecord): void {
    writeRecordNow(join(this.#deletedFolder, String(device)), { device, bytes });
  }

  unmarkDeleted(device: number): void {
    rmSync(join(this.#deletedFolder, String(device)), { force: true });
  }

  /** Every device that belongs to something, with the file that says so. */
  all(): Map<number, string> {
    const files = [this.basePath("made"), this.basePath("making"), ...readdirSync(this.dir, { withFileTypes: true }).filter((entry) => entry.isDirectory()).flatMap(({ name }) => recordNames.map((record) => join(this.dir, name, record)))];
    const found = new Map<number, string>();
    for (const file of files) {
      const record = read<DeviceRecord>(file);
      if (record?.device !== undefined) found.set(record.device, file);
    }
    return found;
  }

  syncFolder(): Promise<void> {
    return sync(this.dir);
  }
}

export const readRecord = (folder: string, name: RecordName): DeviceRecord | undefined => read<DeviceRecord>(join(folder, name));

export async function writeRecord(file: string, record: object): Promise<void> {
  const fresh = `${file}.new`;
  {
    await using handle = await open(fresh, "w", 0o600);
    await handle.writeFile(JSON.stringify(record));
    await handle.sync();
  }
  renameSync(fresh, file);
  await sync(dirname(file));
}

/** The same at the start, when nobody waits for anything else. */
function writeRecordNow(file: string, record: object): void {
  const fresh = `${file}.new`;
  writeFileSync(fresh, JSON.stringify(record), { mode: 0o600, flush: true });
  renameSync(fresh, file);
  const fd = openSync(dirname(file), "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function read<T>(file: string): T | undefined {
  if (!existsSync(file)) return undefined;
  return JSON.parse(readFileSync(file, "utf8")) as T;
}

async function sync(folder: string): Promise<void> {
  await using handle = await open(folder, "r");
  await handle.sync();
}
