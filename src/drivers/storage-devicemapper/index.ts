/** The devicemapper storage driver: every snapshot is a thin device, made in an instant as a snapshot of its parent's. */
import { mkdirSync, statfsSync } from "node:fs";
import { join } from "node:path";
import type { Snapshotter, SnapshotterOptions } from "../../core/snapshotter.ts";
import { unavailable } from "../../lib/errors.ts";
import { humanSize } from "../../lib/units.ts";
import { nodeOfDevice } from "../../sys/loop-device.ts";
import { makeInitLayer } from "../../sys/init-layer.ts";
import { BaseDevice } from "./base-device.ts";
import { DeviceMounts } from "./device-mounts.ts";
import { Devicemapper } from "./devicemapper.ts";
import { fileSystemFor, FileSystems } from "./file-systems.ts";
import { closePool, openDeviceMapper, openPool, takeOwnership } from "./open-pool.ts";
import { type Options, parseOptions } from "./options.ts";
import { bytesOf, type Space } from "./pool-status.ts";
import { Records } from "./records.ts";
import { ThinDevices } from "./thin-devices.ts";

export const id = "devicemapper";

const LOOPBACK = "Usage of loopback devices is strongly discouraged for production use. Please use `--storage-opt dm.thinpooldev` or use `man dockerd` to refer to dm.thinpooldev section.";

/** `dir`: <root>/layers/devicemapper, made when missing. Throws "unavailable" without the kernel's thin pools or a program. */
export function create(dir: string, { initLayer = false, options: given = [], maps, warn }: SnapshotterOptions = {}): Snapshotter {
  const options = parseOptions(given);
  if (maps) throw unavailable("--userns-remap does not work with the storage driver devicemapper; use overlay2 or vfs");
  using stack = new DisposableStack();
  const dm = stack.adopt(openDeviceMapper(), (one) => one.close());
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const records = new Records(dir);
  const made = records.base("made");
  const kind = made?.fileSystem ?? fileSystemFor(options.fileSystem);
  if (made && options.fileSystem !== undefined && options.fileSystem !== kind) warn?.(`Base device already exists and has filesystem ${kind} on it. User specified filesystem ${options.fileSystem} will be ignored.`);
  const pool = stack.adopt(openPool(dm, records, options), closePool);
  if (pool.files.data !== undefined || pool.files.metadata !== undefined) warn?.(LOOPBACK);
  takeOwnership(pool, records);
  DeviceMounts.clean(dir);
  const devices = new ThinDevices(pool, records, options);
  const fileSystems = new FileSystems(options);
  const base = new BaseDevice({ records, devices, fileSystems, options, kind });
  const mounts = new DeviceMounts(devices, { fileSystems, kind: () => base.fileSystem });
  const init = initLayer ? makeInitLayer(join(dir, "init")) : undefined;
  const snapshotter = new Devicemapper(dir, { records, devices, fileSystems, base, mounts, status: () => statusOf(devices, base, options), init });
  stack.move();
  return snapshotter;
}

/** Docker's rows. */
function statusOf(devices: ThinDevices, base: BaseDevice, options: Options): [string, string][] {
  const { pool } = devices;
  const status = devices.status();
  const { data, metadata } = bytesOf(status, pool.blockBytes);
  return [
    ["Pool Name", pool.name],
    ["Pool Blocksize", humanSize(pool.blockBytes)],
    ["Base Device Size", humanSize(base.bytes)],
    ["Backing Filesystem", base.fileSystem],
    ["Udev Sync Supported", "true"],
    ...files(pool.isOwn ? { "Data file": nodeOfDevice(pool.data), "Metadata file": nodeOfDevice(pool.metadata) } : {}),
    ...files({ "Data loop file": pool.files.data, "Metadata loop file": pool.files.metadata }),
    ...space("Data", data, pool.files.data),
    ...space("Metadata", metadata, pool.files.metadata),
    ["Thin Pool Minimum Free Space", humanSize(Math.floor((status.data.total * options.leastFreePercent) / 100) * pool.blockBytes)],
    ["Deferred Removal Enabled", String(options.deferredRemoval)],
    ["Deferred Deletion Enabled", String(options.deferredDeletion)],
    ["Deferred Deleted Device Count", String(devices.pending)],
    ["Driver Version", pool.dm.version],
  ];
}

const files = (named: Record<string, string | undefined>): [string, string][] => Object.entries(named).filter((row): row is [string, string] => row[1] !== undefined);

/** Of a file no more is available than its file system has. */
function space(kind: string, { used, total }: Space, file: string | undefined): [string, string][] {
  const free = file === undefined ? Infinity : freeAt(file);
  return [
    [`${kind} Space Used`, humanSize(used)],
    [`${kind} Space Total`, humanSize(total)],
    [`${kind} Space Available`, humanSize(Math.min(total - used, free))],
  ];
}

function freeAt(file: string): number {
  const { bfree, bsize } = statfsSync(file);
  return bfree * bsize;
}
