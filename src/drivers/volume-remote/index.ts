/**
 * Volumes of a plugin, by the protocol of Docker's legacy volume plugins (VolumeDriver.*): the plugin keeps them, and gives a folder
 * of this machine while they are mounted. Each reference is mounted and unmounted by an ID of its own; the plugin counts.
 */
import { type Plugin, type PluginAnswer, partOf, textOf } from "../../core/plugins.ts";
import type { VolumeDriver, VolumeSpec } from "../../core/volume.ts";
import { messageOf, systemError } from "../../lib/errors.ts";
import { KeyedQueue } from "../../lib/keyed-queue.ts";

export interface RemoteVolumesOptions {
  name: string;
  /** Activates the plugin on first use. */
  find: () => Promise<Plugin>;
}

export const create = (options: RemoteVolumesOptions): VolumeDriver => new RemoteVolumes(options);

class RemoteVolumes implements VolumeDriver {
  readonly id: string;
  readonly #find: () => Promise<Plugin>;
  #scope: "local" | "global" | undefined;
  /** Where the plugin said last that they are. */
  readonly #paths = new Map<string, string>();
  readonly #references = new Map<string, Set<string>>();
  readonly #queue = new KeyedQueue();

  constructor({ name, find }: RemoteVolumesOptions) {
    this.id = name;
    this.#find = find;
  }

  /** "local" until the plugin was asked. */
  get capabilities(): VolumeDriver["capabilities"] {
    return { scope: this.#scope ?? "local" };
  }

  /** The plugin judges when it makes one. */
  validate(): void {}

  async create({ name, options }: VolumeSpec): Promise<void> {
    await this.#call("Create", { Name: name, Opts: options });
  }

  async remove({ name }: VolumeSpec): Promise<void> {
    if (this.#references.has(name)) throw systemError("volume has active mounts");
    await this.#call("Remove", { Name: name });
    this.#paths.delete(name);
  }

  async has(name: string): Promise<boolean> {
    return (await this.#get(name)) !== undefined;
  }

  async status(name: string): Promise<PluginAnswer | undefined> {
    const volume = await this.#get(name);
    return volume && this.#read("Get", () => partOf(volume, "Status"));
  }

  async list(): Promise<string[]> {
    const { Volumes: volumes } = await this.#call("List", {});
    if (volumes === undefined || volumes === null) return [];
    if (!Array.isArray(volumes)) throw systemError(`volume plugin ${this.id}: List: Volumes of its answer is no list`);
    return this.#read("List", () => volumes.flatMap((volume: PluginAnswer) => this.#known(volume) ?? []));
  }

  path(name: string): string {
    return this.#paths.get(name) ?? "";
  }

  mount({ name }: VolumeSpec, reference: string): Promise<string> {
    return this.#queue.run(name, async () => {
      const references = this.#references.get(name) ?? new Set<string>();
      if (!references.has(reference) || this.path(name) === "") {
        const answer = await this.#call("Mount", { Name: name, ID: reference });
        const folder = this.#read("Mount", () => textOf(answer, "Mountpoint"));
        if (folder === undefined || !folder.startsWith("/")) throw systemError(`volume plugin ${this.id}: Mount: its answer names no folder for ${name}`);
        this.#paths.set(name, folder);
        this.#references.set(name, references.add(reference));
      }
      return this.path(name);
    });
  }

  unmount({ name }: VolumeSpec, reference: string): Promise<boolean> {
    return this.#queue.run(name, async () => {
      const references = this.#references.get(name);
      if (!references?.has(reference)) return false;
      await this.#call("Unmount", { Name: name, ID: reference });
      references.delete(reference);
      if (references.size === 0) this.#references.delete(name);
      return true;
    });
  }

  restore({ name }: VolumeSpec, reference: string): void {
    const references = this.#references.get(name) ?? new Set<string>();
    this.#references.set(name, references.add(reference));
  }

  /** Its mounts are the plugin's. */
  async sweep(): Promise<void> {}

  usage(name: string): Promise<number> {
    return Promise.reject(systemError(`the volume plugin ${this.id} does not say how much ${name} takes`));
  }

  async settled(): Promise<void> {}

  /** Undefined when the plugin does not know it. Throws when the plugin cannot be asked. */
  async #get(name: string): Promise<PluginAnswer | undefined> {
    let answer: PluginAnswer;
    try {
      answer = await this.#call("Get", { Name: name });
    } catch (error) {
      // Whatever a plugin's words for it are.
      if (isRefusal(error)) return undefined;
      throw error;
    }
    const volume = this.#read("Get", () => partOf(answer, "Volume"));
    return this.#read("Get", () => this.#known(volume)) === undefined ? undefined : volume;
  }

  /** Its name; keeps where it is. */
  #known(volume: PluginAnswer): string | undefined {
    const [name, folder] = [textOf(volume, "Name"), textOf(volume, "Mountpoint")];
    if (name !== undefined && folder !== undefined) this.#paths.set(name, folder);
    return name;
  }

  #read<T>(method: string, read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw systemError(`volume plugin ${this.id}: ${method}: ${messageOf(error)}`);
    }
  }

  async #call(method: string, request: object): Promise<PluginAnswer> {
    const plugin = await this.#find();
    this.#scope ??= await scopeOf(plugin);
    return await plugin.call(`VolumeDriver.${method}`, request);
  }
}

/** What the plugin itself said; where it could not be asked there is a cause. */
const isRefusal = (error: unknown): boolean => (error as { code?: unknown }).code === "system" && (error as Error).cause === undefined;

/** Plugins of before version 1.12 of the protocol do not say. */
async function scopeOf(plugin: Plugin): Promise<"local" | "global"> {
  const answer = await plugin.call("VolumeDriver.Capabilities").catch((error: unknown) => {
    if (isRefusal(error)) return {};
    throw error;
  });
  return (answer as { Capabilities?: { Scope?: unknown } }).Capabilities?.Scope === "global" ? "global" : "local";
}
