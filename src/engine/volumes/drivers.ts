/** The drivers that volumes are of: the engine's own, and those of plugins, which are there once they are asked for. */
import type { VolumeDriver } from "../../core/volume.ts";
import { codeOf, GantryError, messageOf, notFound } from "../../lib/errors.ts";
import { quote } from "../../lib/strconv.ts";

/** Plugins by name. Those of volumes that there are stand for themselves until they are needed. */
export interface VolumePlugins {
  driver(name: string): VolumeDriver;
  /** Throws Docker's not-found. */
  requireDriver(name: string): Promise<VolumeDriver>;
  /** Those that were used since the start. */
  active(): string[];
}

export class VolumeDrivers {
  readonly #own: ReadonlyMap<string, VolumeDriver>;
  readonly #plugins: VolumePlugins | undefined;

  constructor(own: readonly VolumeDriver[], plugins: VolumePlugins | undefined) {
    this.#own = new Map(own.map((driver) => [driver.id, driver]));
    this.#plugins = plugins;
  }

  get own(): VolumeDriver[] {
    return [...this.#own.values()];
  }

  /** The engine's own, and plugins in use. */
  get names(): string[] {
    return [...this.#own.keys(), ...(this.#plugins?.active() ?? [])];
  }

  isOwn(id: string): boolean {
    return this.#own.has(id);
  }

  /** Of a volume that is known. */
  of(id: string): VolumeDriver {
    const driver = this.#own.get(id) ?? this.#plugins?.driver(id);
    if (!driver) throw missing(id);
    return driver;
  }

  /** Of a volume that may be made. Throws Docker's not-found. */
  async require(id: string): Promise<VolumeDriver> {
    const own = this.#own.get(id);
    if (own) return own;
    if (!this.#plugins) throw missing(id);
    try {
      return await this.#plugins.requireDriver(id);
    } catch (error) {
      throw new GantryError(codeOf(error), `error looking up volume plugin ${id}: ${messageOf(error)}`, { cause: error });
    }
  }
}

const missing = (id: string): GantryError => notFound(`error looking up volume plugin ${id}: plugin ${quote(id)} not found`);
