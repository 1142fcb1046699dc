/**
 * Devices mounted at <dir>/<id>/mounted (mounted-init, mounted-making), for moments: whoever wants one for longer, as a container in its
 * own mount namespace, binds it meanwhile, and the device goes with the last that has it.
 */
import { existsSync, readFileSync, realpathSync, rmdirSync } from "node:fs";
import { basename, join } from "node:path";
import { systemError } from "../../lib/errors.ts";
import { syncFileSystem } from "../../sys/archive.ts";
import { HeldMounts } from "../../sys/held-mounts.ts";
import { parseMountInfo } from "../../sys/mount-table.ts";
import { detach, detachNow } from "../../sys/mounts.ts";
import { type FileSystems, ROOT } from "./file-systems.ts";
import type { FileSystem } from "./options.ts";
import { readRecord, type RecordName } from "./records.ts";
import type { ThinDevices } from "./thin-devices.ts";

const places: Readonly<Record<RecordName, string>> = { device: "mounted", init: "mounted-init", "init-making": "mounted-making" };

/** A folder on a device, until disposed. */
export interface Mounted extends AsyncDisposable {
  path: string;
}

export class DeviceMounts {
  readonly #devices: ThinDevices;
  readonly #fileSystems: FileSystems;
  readonly #kind: () => FileSystem;
  readonly #held = new HeldMounts();

  constructor(devices: ThinDevices, { fileSystems, kind }: { fileSystems: FileSystems; kind: () => FileSystem }) {
    this.#devices = devices;
    this.#fileSystems = fileSystems;
    this.#kind = kind;
  }

  /** Takes away what an earlier daemon left mounted below `dir`; containers keep theirs. */
  static clean(dir: string): void {
    const real = `${realpathSync(dir)}/`;
    const left = parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8")).filter(({ mountpoint }) => mountpoint.startsWith(real) && basename(mountpoint).startsWith(places.device));
    for (const { mountpoint } of left) detachNow(mountpoint);
  }

  /** Where mount() will have it. */
  path(folder: string, which: RecordName = "device"): string {
    return join(folder, places[which], ROOT);
  }

  async mount(folder: string, which: RecordName = "device", options: { readonly?: boolean } = {}): Promise<Mounted> {
    const place = join(folder, places[which]);
    const held = await this.#held.hold(place, { begin: () => this.#begin(folder, which, options), end: (device) => this.#end(place, device) });
    return { path: join(place, ROOT), [Symbol.asyncDispose]: () => held[Symbol.asyncDispose]() };
  }

  /** Whether somebody has it now. */
  isHeld(folder: string): boolean {
    return this.#held.isHeld(join(folder, places.device));
  }

  async #begin(folder: string, which: RecordName, options: { readonly?: boolean }): Promise<number> {
    const record = readRecord(folder, which);
    if (!record) throw systemError(`devmapper: ${folder} has no device`);
    const { device, bytes } = record;
    const node = await this.#devices.activate(device, bytes);
    try {
      await this.#fileSystems.mount(node, this.#kind(), join(folder, places[which]), options);
    } catch (error) {
      await this.#devices.deactivate(device);
      throw error;
    }
    return device;
  }

  async #end(place: string, device: number): Promise<void> {
    await detach(place);
    await this.#devices.deactivate(device);
  }

  /** Makes sure that all that was written is on the pool. Throws when it is not. */
  async sync(mounted: Mounted): Promise<void> {
    try {
      await syncFileSystem(mounted.path);
    } catch (error) {
      // That the pool is full says more than that something could not be written.
      this.#devices.checkWritable();
      throw error;
    }
    this.#devices.checkWritable();
  }

  /** Before the folder is committed or removed: nothing is mounted there, and the places are gone. Idempotent. */
  drop(folder: string): void {
    for (const name of Object.values(places)) {
      const place = join(folder, name);
      if (!existsSync(place)) continue;
      detachNow(place);
      rmdirSync(place);
    }
  }
}
