/** The device with an empty file system, of which all others are snapshots. Made at the first need; grows when more is asked for. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { invalidParameter } from "../../lib/errors.ts";
import { humanSize } from "../../lib/units.ts";
import { detach } from "../../sys/mounts.ts";
import type { FileSystems } from "./file-systems.ts";
import { type FileSystem, type Options, standardBaseBytes } from "./options.ts";
import { type BaseRecord, type Records, writeRecord } from "./records.ts";
import type { ThinDevices } from "./thin-devices.ts";

interface Parts {
  records: Records;
  devices: ThinDevices;
  fileSystems: FileSystems;
  options: Options;
  /** For a new one. */
  kind: FileSystem;
}

export class BaseDevice {
  readonly #parts: Parts;
  #ready: Promise<BaseRecord> | undefined;

  /** Throws when it has more bytes than are asked for. */
  constructor(parts: Parts) {
    this.#parts = parts;
    const made = parts.records.base("made");
    if (made && parts.options.baseBytes !== undefined && parts.options.baseBytes < made.bytes) throw invalidParameter(`devmapper: Base device size cannot be smaller than ${humanSize(made.bytes)}`);
  }

  get bytes(): number {
    const { records, options } = this.#parts;
    return options.baseBytes ?? records.base("made")?.bytes ?? standardBaseBytes;
  }

  /** Of what exists, whatever is asked for. */
  get fileSystem(): FileSystem {
    return this.#parts.records.base("made")?.fileSystem ?? this.#parts.kind;
  }

  ready(): Promise<BaseRecord> {
    this.#ready ??= this.#make().catch((error: unknown) => {
      this.#ready = undefined;
      throw error;
    });
    return this.#ready;
  }

  async #make(): Promise<BaseRecord> {
    const { records, devices, fileSystems, kind } = this.#parts;
    const made = records.base("made");
    if (made) return made.isGrowing === true || made.bytes < this.bytes ? this.#grow(made) : made;
    const making = records.basePath("making");
    const left = records.base("making");
    if (left) await devices.delete([left], () => rmSync(making));
    const bytes = this.bytes;
    const device = await devices.make(undefined, (id) => writeRecord(making, { device: id, bytes, fileSystem: kind } satisfies BaseRecord));
    const node = await devices.activate(device, bytes);
    try {
      await fileSystems.make(node, kind, this.#place);
      devices.checkWritable();
    } finally {
      await devices.deactivate(device);
    }
    await records.rename(making, records.basePath("made"));
    return { device, bytes, fileSystem: kind };
  }

  get #place(): string {
    return join(this.#parts.records.poolFolder, "mounted");
  }

  async #grow(made: BaseRecord): Promise<BaseRecord> {
    const { records, devices, fileSystems } = this.#parts;
    const { isGrowing: _, ...grown } = { ...made, bytes: this.bytes };
    await writeRecord(records.basePath("made"), { ...grown, isGrowing: true } satisfies BaseRecord);
    const node = await devices.activate(made.device, grown.bytes);
    try {
      await fileSystems.mount(node, made.fileSystem, this.#place);
      try {
        await fileSystems.grow(node, made.fileSystem, this.#place);
      } finally {
        await detach(this.#place);
      }
    } finally {
      await devices.deactivate(made.device);
    }
    await writeRecord(records.basePath("made"), grown);
    return grown;
  }
}
