/**
 * Local volumes.
 *
 *   <dir>/<name>/_data/     the data, or the point where the options' device is mounted; of a project of its own with a size
 *   <dir>/<name>/_data.old/ what is being replaced: the data again if a crash comes before the new is there
 *   <dir>/.trash/           what was removed and is being deleted, and new-N, what is being made
 */
import { chownSync, existsSync, mkdirSync, readFileSync, readdirSync, realpathSync, renameSync } from "node:fs";
import { join } from "node:path";
import type { MovesVolumes, VolumeCopy, VolumeDriver, VolumeSpec } from "../../core/volume.ts";
import { GantryError, messageOf, systemError } from "../../lib/errors.ts";
import { KeyedQueue } from "../../lib/keyed-queue.ts";
import { faultPoint } from "../../lib/fault.ts";
import type { Owner } from "../../lib/user-maps.ts";
import { contentSize } from "../../sys/archive.ts";
import { parseMountInfo } from "../../sys/mount-table.ts";
import { detach } from "../../sys/mounts.ts";
import { ProjectQuota } from "../../sys/project-quota.ts";
import { Trash } from "../../sys/trash.ts";
import { mountOptions } from "./mounting.ts";
import { archiveOf, changesOf, copyFolder, synced, unpack } from "./trees.ts";
import { isName, needsMount, type Options, sizeOf, validateName, validateOptions } from "./options.ts";

const DATA = "_data";
const OLD = "_data.old";
const TRASH = ".trash";

interface Active {
  references: Set<string>;
  mounted: boolean;
}

const mountpoints = (): string[] => parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8")).map(({ mountpoint }) => mountpoint);

/** What is mounted has its own size. */
const isLimited = (options: Options): boolean => sizeOf(options) > 0 && !needsMount(options);

function quotaOf(dir: string): ProjectQuota | undefined {
  const data = (folder: string): string[] => readdirSync(folder).map((name) => join(folder, name, DATA));
  try {
    return ProjectQuota.open(dir, () => [...data(dir), ...data(join(dir, TRASH))]);
  } catch {
    return undefined;
  }
}

export class LocalVolumes implements VolumeDriver, MovesVolumes {
  readonly id = "local";
  readonly capabilities = { scope: "local" } as const;
  readonly #dir: string;
  /** The same without links, as the kernel shows it. */
  readonly #real: string;
  readonly #trash: Trash;
  /** Undefined on a file system without quotas. */
  readonly #quota: ProjectQuota | undefined;
  readonly #owner: Owner | undefined;
  #counter = 0;
  /** Volumes that someone uses, or that are mounted. */
  readonly #active = new Map<string, Active>();
  /** The last piece of work on each volume: mounts of one happen one after the other. */
  readonly #queue = new KeyedQueue();

  /** `owner`: of new volumes, otherwise this process. */
  constructor(dir: string, owner?: Owner) {
    this.#dir = dir;
    this.#owner = owner;
    mkdirSync(dir, { recursive: true, mode: 0o701 });
    this.#real = realpathSync(dir);
    this.#trash = new Trash(join(dir, TRASH));
    this.#quota = quotaOf(dir);
    for (const name of readdirSync(dir)) if (isName(name)) this.#finishReplacing(name);
    for (const name of this.#mounted()) this.#activeOf(name).mounted = true;
  }

  validate({ name, options }: VolumeSpec): void {
    validateName(name);
    validateOptions(options, { quotas: this.#quota !== undefined });
  }

  async create(volume: VolumeSpec): Promise<void> {
    this.validate(volume);
    const { name, options } = volume;
    if (this.#has(name)) return;
    try {
      const made = this.#begin();
      mkdirSync(join(made, DATA), { mode: 0o755 });
      if (this.#owner) chownSync(join(made, DATA), this.#owner.uid, this.#owner.gid);
      if (isLimited(options)) this.#quota?.limit(join(made, DATA), sizeOf(options));
      faultPoint("volume-folder");
      renameSync(made, this.#folder(name));
    } catch (error) {
      throw systemError(`error while creating volume root path '${this.#folder(name)}': ${messageOf(error)}`, error);
    }
  }

  remove({ name }: VolumeSpec): Promise<void> {
    return this.#queue.run(name, async () => {
      const active = this.#active.get(name);
      if (active && active.references.size > 0) throw systemError("volume has active mounts");
      if (active) await this.#release(name, active);
      const foreign = mountpoints().find((path) => `${path}/`.startsWith(`${this.#real}/${name}/`));
      if (foreign !== undefined) throw systemError(`something is mounted at ${foreign}: unmount it first, its files would be deleted`);
      try {
        this.#quota?.drop(this.path(name));
        this.#trash.discard(this.#folder(name));
      } catch (error) {
        throw systemError(`error removing volume path '${this.#folder(name)}': ${messageOf(error)}`, error);
      }
    });
  }

  async has(name: string): Promise<boolean> {
    return this.#has(name);
  }

  async list(): Promise<string[]> {
    return readdirSync(this.#dir).filter((name) => isName(name) && this.#has(name));
  }

  path(name: string): string {
    return join(this.#folder(name), DATA);
  }

  mount({ name, options }: VolumeSpec, reference: string): Promise<string> {
    return this.#queue.run(name, async () => {
      const path = this.path(name);
      const active = this.#activeOf(name);
      try {
        if (isLimited(options) && this.#quota?.limitOf(path) === undefined) throw systemError("size quota requested for volume but no quota support");
        if (needsMount(options) && !active.mounted) {
          await mountOptions(options, path);
          active.mounted = true;
        }
        active.references.add(reference);
        return path;
      } catch (error) {
        throw error instanceof GantryError ? error : systemError(messageOf(error), error);
      } finally {
        if (active.references.size === 0) this.#active.delete(name);
      }
    });
  }

  unmount({ name }: VolumeSpec, reference: string): Promise<boolean> {
    return this.#queue.run(name, async () => {
      const active = this.#active.get(name);
      if (!active?.references.delete(reference)) return false;
      if (active.references.size === 0) await this.#release(name, active);
      return true;
    });
  }

  restore({ name }: VolumeSpec, reference: string): void {
    this.#activeOf(name).references.add(reference);
  }

  async sweep(): Promise<void> {
    for (const [name, active] of [...this.#active]) {
      await this.#queue.run(name, async () => {
        if (active.references.size === 0) await this.#release(name, active);
      });
    }
  }

  async usage(name: string): Promise<number> {
    return await contentSize(this.path(name));
  }

  settled(): Promise<void> {
    return this.#trash.settled();
  }

  rename(name: string, renamed: string): Promise<void> {
    const to = this.#folder(renamed);
    return this.#queue.run(name, async () => {
      this.#requireUnused(name);
      if (existsSync(to)) throw systemError(`there is something at ${to}`);
      renameSync(this.#folder(name), to);
    });
  }

  async copy(name: string): Promise<VolumeCopy> {
    const made = this.#begin();
    const data = join(made, DATA);
    const drop = async (): Promise<void> => this.#trash.discard(made);
    try {
      await copyFolder(this.path(name), data);
    } catch (error) {
      await drop();
      throw systemError(`cannot copy volume ${name}: ${messageOf(error)}`, error);
    }
    return {
      become: async (becoming) => {
        const to = this.#folder(becoming);
        await synced(data);
        if (existsSync(to)) throw systemError(`there is something at ${to}`);
        faultPoint("volume-copied");
        renameSync(made, to);
      },
      archive: (since) => (since === undefined ? archiveOf(data) : changesOf(data, this.path(since))),
      [Symbol.asyncDispose]: drop,
    };
  }

  archive(name: string, since?: string): AsyncIterable<Uint8Array> {
    return since === undefined ? archiveOf(this.path(name)) : changesOf(this.path(name), this.path(since));
  }

  async replace(name: string, archive: AsyncIterable<Uint8Array>, { apply }: { apply: boolean }): Promise<void> {
    this.#requireUnused(name);
    const made = this.#begin();
    const data = join(made, DATA);
    try {
      if (apply) await copyFolder(this.path(name), data);
      else mkdirSync(data, { mode: 0o755 });
      await unpack(data, archive, { apply });
      await synced(data);
      await this.#queue.run(name, async () => {
        this.#requireUnused(name);
        renameSync(this.path(name), join(this.#folder(name), OLD));
        faultPoint("volume-replacing");
        renameSync(data, this.path(name));
        this.#finishReplacing(name);
      });
    } finally {
      this.#trash.discard(made);
    }
  }

  #finishReplacing(name: string): void {
    const old = join(this.#dir, name, OLD);
    if (!existsSync(old)) return;
    if (this.#has(name)) this.#trash.discard(old);
    else renameSync(old, this.path(name));
  }

  #requireUnused(name: string): void {
    if ((this.#active.get(name)?.references.size ?? 0) > 0) throw systemError("volume has active mounts");
  }

  /** A new folder, which becomes a volume or is discarded. */
  #begin(): string {
    const made = join(this.#dir, TRASH, `new-${process.pid}-${this.#counter++}`);
    mkdirSync(made, { mode: 0o701 });
    return made;
  }

  #has(name: string): boolean {
    return existsSync(this.path(name));
  }

  #folder(name: string): string {
    validateName(name);
    return join(this.#dir, name);
  }

  #activeOf(name: string): Active {
    let active = this.#active.get(name);
    if (!active) this.#active.set(name, (active = { references: new Set(), mounted: false }));
    return active;
  }

  async #release(name: string, active: Active): Promise<void> {
    this.#active.delete(name);
    if (!active.mounted) return;
    active.mounted = false;
    try {
      await detach(this.path(name));
    } catch (error) {
      this.#activeOf(name).mounted = true;
      throw systemError(`failed to unmount local volume: ${messageOf(error)}`, error);
    }
  }

  /** Names of volumes on whose data something is mounted. */
  #mounted(): string[] {
    const points = new Set(mountpoints());
    return readdirSync(this.#dir).filter((name) => points.has(join(this.#real, name, DATA)));
  }
}
