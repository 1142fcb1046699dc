/**
 * Datasets mounted at <dir>/<id>/mounted, and what they began with at mounted-dataset and mounted-init, for moments: whoever wants one for
 * longer, as a container in its own mount namespace, binds it meanwhile.
 */
import { existsSync, mkdirSync, readFileSync, realpathSync, rmdirSync } from "node:fs";
import { basename, join } from "node:path";
import { systemError } from "../../lib/errors.ts";
import { HeldMounts } from "../../sys/held-mounts.ts";
import { parseMountInfo } from "../../sys/mount-table.ts";
import { detach, detachNow, errnoMessage, flag, mount } from "../../sys/mounts.ts";
import type { Datasets } from "./datasets.ts";
import { type RecordName, readRecord } from "./records.ts";

const PLACE = "mounted";
const places = [PLACE, `${PLACE}-dataset`, `${PLACE}-init`, `${PLACE}-init-making`];

/** A folder, until disposed. */
export interface Mounted extends AsyncDisposable {
  path: string;
}

export class DatasetMounts {
  readonly #datasets: Datasets;
  readonly #held = new HeldMounts();

  constructor(datasets: Datasets) {
    this.#datasets = datasets;
  }

  /** Takes away what an earlier daemon left mounted below `dir`; containers keep theirs. */
  static clean(dir: string): void {
    const real = `${realpathSync(dir)}/`;
    const left = parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8")).filter(({ mountpoint }) => mountpoint.startsWith(real) && places.includes(basename(mountpoint)));
    for (const { mountpoint } of left) detachNow(mountpoint);
  }

  /** Where mount() will have it. */
  path(folder: string): string {
    return join(folder, PLACE);
  }

  /** The dataset of an active snapshot, or the one in the making of which containers will be clones. */
  mount(folder: string, which: "dataset" | "init-making" = "dataset"): Promise<Mounted> {
    return this.#hold(which === "dataset" ? this.path(folder) : join(folder, `${PLACE}-${which}`), this.#datasets.path(this.#nameOf(folder, which)), 0);
  }

  /** What was sealed: nothing in it changes, not even by looking at it. */
  mountSealed(folder: string, which: "dataset" | "init"): Promise<Mounted> {
    return this.#hold(join(folder, `${PLACE}-${which}`), this.#datasets.sealOf(this.#nameOf(folder, which)), flag.rdonly);
  }

  #nameOf(folder: string, which: RecordName): string {
    const record = readRecord(folder, which);
    if (!record) throw systemError(`zfs: ${folder} has no dataset`);
    return record.name;
  }

  async #hold(place: string, source: string, flags: number): Promise<Mounted> {
    const held = await this.#held.hold(place, { begin: () => begin(place, source, flags), end: async () => void (await detach(place)) });
    return { path: place, [Symbol.asyncDispose]: () => held[Symbol.asyncDispose]() };
  }

  /** Whether somebody writes to it now. */
  isHeld(folder: string): boolean {
    return this.#held.isHeld(this.path(folder));
  }

  /** Before the folder is committed or removed: nothing is mounted there, and the places are gone. Idempotent. */
  drop(folder: string): void {
    for (const name of places) {
      const place = join(folder, name);
      if (!existsSync(place)) continue;
      detachNow(place);
      rmdirSync(place);
    }
  }
}

async function begin(place: string, source: string, flags: number): Promise<void> {
  mkdirSync(place, { recursive: true, mode: 0o700 });
  try {
    await mount(source, place, "zfs", flags, "");
  } catch (error) {
    throw systemError(`zfs: error creating zfs mount: mount ${source}:${place}: ${errnoMessage(error)}`, error);
  }
}
