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
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, readdirSync, renameSync, rmSync, writeSync } from "node:fs";
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

  writeState(state: PoolState): void {
    writeRecord(join(this.poolFolder, "state.json"), state);
  }

  basePath(state: "made" | "making"): string {
    return join(this.poolFolder, state === "made" ? "base.json" : "base-making.json");
  }

  base(state: "made" | "making"): BaseRecord | undefined {
    return read<BaseRecord>(this.basePath(state));
  }

  rename(from: string, to: string): void {
    renameSync(from, to);
    sync(dirname(to));
  }

  /** Devices that were to be deleted, with their bytes. */
  deleted(): DeviceRecord[] {
    return readdirSync(this.#deletedFolder).filter((name) => /^\d+$/.test(name)).map((name) => read<DeviceRecord>(join(this.#deletedFolder, name))!);
  }

  markDeleted({ device, bytes }: DeviceRecord): void {
    writeRecord(join(this.#deletedFolder, String(device)), { device, bytes });
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

  syncFolder(): void {
    sync(this.dir);
  }
}

export const readRecord = (folder: string, name: RecordName): DeviceRecord | undefined => read<DeviceRecord>(join(folder, name));

export function writeRecord(file: string, record: object): void {
  const fresh = `${file}.new`;
  const fd = openSync(fresh, "w", 0o600);
  try {
    writeSync(fd, JSON.stringify(record));
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(fresh, file);
  sync(dirname(file));
}

function read<T>(file: string): T | undefined {
  if (!existsSync(file)) return undefined;
  return JSON.parse(readFileSync(file, "utf8")) as T;
}

function sync(folder: string): void {
  const fd = openSync(folder, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
