/** Volumes: making, showing, removing them, and who uses them. */
import type { DatabaseSync } from "node:sqlite";
import type { EventSink } from "../../core/events.ts";
import { movesVolumes } from "../../core/volume.ts";
import type { MovesVolumes, VolumeDriver } from "../../core/volume.ts";
import { codeOf, conflict, GantryError, messageOf, notFound, notImplemented } from "../../lib/errors.ts";
import { KeyedQueue } from "../../lib/keyed-queue.ts";
import { faultPoint } from "../../lib/fault.ts";
import type { Filters } from "../../lib/filters.ts";
import { randomId } from "../../lib/random-id.ts";
import { VolumeDrivers, type VolumePlugins } from "./drivers.ts";
import { DEFAULT_DRIVER, isPlain, now, rowOf, specOf, type Strings, type VolumeRow, VolumeStore } from "./store.ts";
import { ANONYMOUS, explained, type SizedVolume, shownVolume, type Volume } from "./volume.ts";

export interface VolumeServiceOptions {
  database: DatabaseSync;
  drivers: readonly VolumeDriver[];
  /** Drivers of others; absent: there are none. */
  plugins?: VolumePlugins;
  events: EventSink;
  warn(message: string): void;
}

export interface VolumeRequest {
  /** "" for a name of the engine's choice. */
  name: string;
  /** "": that of the volume when it exists, otherwise local. */
  driver: string;
  labels: Strings | null;
  options: Strings | null;
}

/** One whose data the engine can move as a whole. */
export interface WholeVolume {
  row: VolumeRow;
  driver: VolumeDriver & MovesVolumes;
}

const LIST_FILTERS = ["dangling", "driver", "label", "name"];

export class VolumeService {
  readonly #store: VolumeStore;
  readonly #drivers: VolumeDrivers;
  readonly #events: EventSink;
  readonly #warn: (message: string) => void;
  /** Containers by volume. */
  readonly #users = new Map<string, Set<string>>();
  readonly #queue = new KeyedQueue();

  constructor({ database, drivers, plugins, events, warn }: VolumeServiceOptions) {
    this.#store = new VolumeStore(database);
    this.#drivers = new VolumeDrivers(drivers, plugins);
    this.#events = events;
    this.#warn = warn;
  }

  /** After a start, when hold() and restore() have said what is used: drops what a crash left half made or half removed, and takes up what lies in the drivers' folders. */
  async recover(isContainer: (id: string) => boolean): Promise<void> {
    for (const row of this.#store.list()) {
      if (row.maker !== undefined && isContainer(row.maker)) this.#store.settle(row.maker);
      if (!this.#drivers.isOwn(row.driver)) void this.#recoverForeign(row);
      else if (!(await this.#driverOf(row).has(row.name))) this.#store.remove(row.name);
      else await this.#dropUnmade(row);
    }
    for (const driver of this.#drivers.own) {
      await driver.sweep().catch((error: unknown) => this.#warn(`volumes of the driver ${driver.id}: ${messageOf(error)}`));
      for (const name of await driver.list()) if (!this.#store.get(name)) this.#adopt(name, driver);
    }
  }

  /** Of a plugin, for which the start does not wait. */
  async #recoverForeign(row: VolumeRow): Promise<void> {
    try {
      if (row.maker === undefined) await this.#driverOf(row).has(row.name);
      else await this.#dropUnmade(row);
    } catch (error) {
      this.#warn(`volume ${row.name}: ${messageOf(error)}`);
    }
  }

  async #dropUnmade({ name, maker }: VolumeRow): Promise<void> {
    if (maker === undefined || this.isUsed(name)) return;
    await this.remove(name).catch((error: unknown) => this.#warn(`volume ${name} of a container that was never made: ${messageOf(error)}`));
  }

  /** The engine's own drivers, and plugins in use. */
  get drivers(): string[] {
    return this.#drivers.names;
  }

  /** Throws Docker's not-found. */
  async inspect(name: string): Promise<Volume> {
    const known = this.#store.get(name);
    const asked = known && (await this.#driverOf(known).status?.(name));
    const row = asked ? known : await this.#existing(name);
    const status = asked ?? (await this.#driverOf(row).status?.(name)) ?? {};
    return { ...this.#show(row), ...(Object.keys(status).length > 0 && { Status: status }) };
  }

  /** `warnings`: volumes of which nobody could say whether they are there are among the others. */
  async list(filters: Filters): Promise<{ volumes: Volume[]; warnings: string[] }> {
    filters.validate(LIST_FILTERS);
    const dangling = filters.boolean("dangling");
    const { rows, warnings } = await this.#present();
    const wanted = (row: VolumeRow): boolean =>
      filters.exact("driver", row.driver) && filters.matches("name", row.name) && filters.labels("label", row.labels ?? {}) && (dangling === undefined || this.isUsed(row.name) !== dangling);
    return { volumes: rows.filter(wanted).map((row) => this.#show(row)), warnings };
  }

  /** Without asking the drivers whether they are there. */
  known(): VolumeRow[] {
    return this.#store.list();
  }

  /** Those of the engine's own drivers. */
  async find(wanted: (row: VolumeRow) => boolean): Promise<VolumeRow[]> {
    const own = this.#store.list().filter((row) => this.#drivers.isOwn(row.driver) && wanted(row));
    const present = await Promise.all(own.map((row) => this.#driverOf(row).has(row.name)));
    return own.filter((_, index) => present[index]);
  }

  /** All that the drivers have, each asked once. */
  async #present(): Promise<{ rows: VolumeRow[]; warnings: string[] }> {
    const known = this.#store.list();
    const rows: VolumeRow[] = [];
    const warnings: string[] = [];
    for (const id of new Set([...this.#drivers.names, ...known.map(({ driver }) => driver)])) {
      const own = known.filter(({ driver }) => driver === id);
      try {
        const names = new Set(await this.#drivers.of(id).list());
        rows.push(...own.filter(({ name }) => names.delete(name)), ...[...names].filter((name) => !this.#store.get(name)).map((name) => rowOf(name, id)));
      } catch (error) {
        rows.push(...own);
        warnings.push(`error while listing volumes of driver ${id}: ${messageOf(error)}`);
      }
    }
    return { rows, warnings };
  }

  /** Throws what create would refuse without looking at other volumes. */
  async validate({ name, driver, options }: Pick<VolumeRequest, "name" | "driver" | "options">): Promise<void> {
    await explained("create", name, async () => {
      const chosen = await this.#drivers.require(driver || this.#store.get(name)?.driver || DEFAULT_DRIVER);
      if (name !== "" && !this.#store.get(name)) chosen.validate({ name, options: options ?? {} });
    });
  }

  /** The volume of that name as it is, or a new one. `maker`: the container in the making that uses it from now on. */
  async create(request: VolumeRequest, maker?: string): Promise<{ volume: Volume; isNew: boolean }> {
    const isAnonymous = request.name === "";
    const name = isAnonymous ? randomId() : request.name;
    const labels = isAnonymous ? { ...request.labels, [ANONYMOUS]: "" } : request.labels;
    return await this.#queue.run(name, () =>
      explained("create", name, async () => {
        const known = await this.#known(name, request.driver);
        const row = known ?? (await this.#make({ ...request, name, labels }, maker));
        if (maker !== undefined) this.hold(name, maker);
        if (!known) this.#emit(row, "create");
        return { volume: this.#show(row), isNew: !known };
      }),
    );
  }

  /** Throws "conflict" with the containers that use it. `force`: a missing one is no error, and one that its driver cannot remove is forgotten. */
  async remove(name: string, { force = false }: { force?: boolean } = {}): Promise<void> {
    await this.#queue.run(name, async () => {
      const found = await this.#existing(name).catch((error: unknown) => {
        if (!force) throw error;
      });
      const row = found ?? this.#store.get(name);
      if (!row) return;
      await explained("remove", name, async () => {
        const users = this.usersOf(name);
        if (users.length > 0) throw conflict(`volume is in use - [${users.join(", ")}]`);
        // Nobody can say whether it is there: it is forgotten.
        if (found) await this.#drop(row, force);
        else this.#store.remove(name);
      });
      this.#emit(row, "destroy");
    });
  }

  /** Throws for what the engine does not hold itself: "not-implemented" for volumes of plugins and those with options. */
  async whole(name: string): Promise<WholeVolume> {
    const row = await this.#existing(name);
    const driver = this.#driverOf(row);
    if (!movesVolumes(driver)) throw notImplemented(`volume ${name} is of the driver ${row.driver}: only local volumes can be copied, renamed, backed up and restored`);
    if (!isPlain(row)) throw notImplemented(`volume ${name} has options (${Object.keys(row.options ?? {}).join(", ")}): it cannot be copied, renamed, backed up and restored`);
    return { row, driver };
  }

  /** A volume that `make` makes with its data; one that exists is refused. Nothing is left when that fails. */
  async createWith({ name, labels }: Pick<VolumeRequest, "name" | "labels">, make: () => Promise<void>): Promise<Volume> {
    const row: VolumeRow = { ...rowOf(name, DEFAULT_DRIVER), labels };
    return await this.#queue.run(name, async () => {
      this.#driverOf(row).validate(specOf(row));
      if (await this.#known(name, DEFAULT_DRIVER)) throw conflict(`volume ${name} exists already`);
      this.#store.add(row);
      try {
        await make();
      } catch (error) {
        this.#store.remove(name);
        throw error;
      }
      this.#emit(row, "create");
      return this.#show(row);
    });
  }

  /** Nobody may use it. */
  async rename(name: string, renamed: string): Promise<Volume> {
    const { row, driver } = await this.whole(name);
    const changed = { ...row, name: renamed };
    return await this.#queue.run(name, async () => {
      driver.validate(specOf(changed));
      if (await this.#known(renamed, DEFAULT_DRIVER)) throw conflict(`volume ${renamed} exists already`);
      const users = this.usersOf(name);
      if (users.length > 0) throw conflict(`volume ${name} is in use - [${users.join(", ")}]`);
      // Two rows for a moment: the one without a volume is forgotten, whenever a crash comes.
      this.#store.add(changed);
      try {
        await driver.rename(name, renamed);
      } catch (error) {
        this.#store.remove(renamed);
        throw error;
      }
      faultPoint("volume-renamed");
      this.#store.remove(name);
      this.#emit(changed, "rename", { oldName: name });
      return this.#show(changed);
    });
  }

  async relabel(name: string, { add, remove }: { add: Strings; remove: readonly string[] }): Promise<Volume> {
    const row = await this.#existing(name);
    const labels = Object.fromEntries(Object.entries({ ...row.labels, ...add }).filter(([key]) => !remove.includes(key)));
    this.#store.relabel(row, labels);
    this.#emit(row, "update");
    return this.#show(row);
  }

  usersOf = (name: string): string[] => [...(this.#users.get(name) ?? [])];

  isUsed = (name: string): boolean => this.#users.has(name);

  /** A container has it among its mounts: it is not removed. */
  hold(name: string, container: string): void {
    const users = this.#users.get(name) ?? new Set<string>();
    this.#users.set(name, users.add(container));
  }

  release(name: string, container: string): void {
    const users = this.#users.get(name);
    users?.delete(container);
    if (users?.size === 0) this.#users.delete(name);
  }

  /** The container is made. */
  settle(maker: string): void {
    this.#store.settle(maker);
  }

  /** Makes its data appear; the folder where it is. Throws Docker's not-found, or "system" with what the kernel said. */
  async mount(name: string, reference: string): Promise<string> {
    const row = await this.#existing(name);
    try {
      return await this.#driverOf(row).mount(specOf(row), reference);
    } catch (error) {
      throw new GantryError(codeOf(error), `error while mounting volume '${this.#driverOf(row).path(name)}': ${messageOf(error)}`, { cause: error });
    }
  }

  /** False when it was not mounted by this reference, also for a volume that is gone. */
  async unmount(name: string, reference: string): Promise<boolean> {
    const row = this.#store.get(name);
    return row !== undefined && (await this.#driverOf(row).unmount(specOf(row), reference));
  }

  /** Runs `work` while nobody else makes, fills or removes the volume. */
  alone<T>(name: string, work: () => Promise<T>): Promise<T> {
    return this.#queue.run(name, work);
  }

  /** Of before the daemon's restart. */
  restore(name: string, reference: string): void {
    const row = this.#store.get(name);
    if (row) this.#driverOf(row).restore(specOf(row), reference);
  }

  /** Where its data is when it is mounted, also of a volume that is to be made. */
  pathOf(name: string): string {
    return this.#drivers.of(this.#store.get(name)?.driver ?? DEFAULT_DRIVER).path(name);
  }

  async sizeOf(name: string): Promise<number> {
    const row = await this.#existing(name);
    return await this.#driverOf(row).usage(name);
  }

  /** Local volumes but those with options, whose data is elsewhere. */
  async sized(): Promise<SizedVolume[]> {
    return await Promise.all(
      (await this.find(isPlain)).map(async (row) => {
        const size = await this.sizeOf(row.name).catch((error: unknown) => {
          this.#warn(`the size of volume ${row.name}: ${messageOf(error)}`);
          return -1;
        });
        return { ...this.#show(row), UsageData: { RefCount: this.usersOf(row.name).length, Size: size } };
      }),
    );
  }

  async settled(): Promise<void> {
    await Promise.all(this.#drivers.own.map((driver) => driver.settled()));
  }

  /** Undefined when it must be made. */
  async #known(name: string, driver: string): Promise<VolumeRow | undefined> {
    const row = this.#store.get(name) ?? (await this.#foreign(name, driver));
    if (!row) return undefined;
    const wanted = driver === "" ? row.driver : (await this.#drivers.require(driver)).id;
    if (await this.#driverOf(row).has(name)) {
      if (wanted !== row.driver) throw conflict(`driver '${row.driver}' already has volume '${name}': volume name must be unique`);
      return row;
    }
    if (this.isUsed(name)) {
      throw conflict(
        `found references to volume '${name}' in driver '${row.driver}' but the volume was not found in the driver -- you may need to remove containers referencing this volume or force remove the volume to re-create it: volume name must be unique`,
      );
    }
    this.#store.remove(name);
    return undefined;
  }

  async #make({ name, driver: id, labels, options }: VolumeRequest, maker: string | undefined): Promise<VolumeRow> {
    const driver = await this.#drivers.require(id || DEFAULT_DRIVER);
    const row: VolumeRow = { name, driver: driver.id, labels, options, created: now(), maker };
    driver.validate(specOf(row));
    this.#store.add(row);
    faultPoint("volume-recorded");
    try {
      await driver.create(specOf(row));
    } catch (error) {
      this.#store.remove(name);
      throw error;
    }
    faultPoint("volume-made");
    return row;
  }

  async #drop(row: VolumeRow, force: boolean): Promise<void> {
    try {
      await this.#driverOf(row).remove(specOf(row));
      faultPoint("volume-dropped");
    } catch (error) {
      if (force) this.#store.remove(row.name);
      throw error;
    }
    this.#store.remove(row.name);
  }

  async #existing(name: string): Promise<VolumeRow> {
    const row = this.#store.get(name);
    if (row && (await this.#driverOf(row).has(name))) return row;
    if (row && !this.isUsed(name)) this.#store.remove(name);
    const foreign = row ? undefined : await this.#foreign(name, "");
    if (foreign) return foreign;
    throw notFound(`get${name === "" ? "" : ` ${name}`}: no such volume`);
  }

  /** One that was made in a plugin by others. */
  async #foreign(name: string, wanted: string): Promise<VolumeRow | undefined> {
    for (const id of this.#drivers.names) {
      if (this.#drivers.isOwn(id) || (wanted !== "" && wanted !== id)) continue;
      const driver = this.#drivers.of(id);
      if (await driver.has(name)) return this.#store.get(name) ?? this.#adopt(name, driver);
    }
    return undefined;
  }

  #adopt(name: string, { id }: VolumeDriver): VolumeRow {
    const row = rowOf(name, id);
    this.#store.add(row);
    return row;
  }

  #driverOf(row: VolumeRow): VolumeDriver {
    return this.#drivers.of(row.driver);
  }

  #show(row: VolumeRow): Volume {
    const driver = this.#driverOf(row);
    return shownVolume(row, { mountpoint: driver.path(row.name), scope: driver.capabilities.scope });
  }

  #emit({ name, driver }: VolumeRow, action: string, attributes: Strings = {}): void {
    this.#events.emit({ type: "volume", action, actor: { id: name, attributes: { driver, ...attributes } } });
  }
}
