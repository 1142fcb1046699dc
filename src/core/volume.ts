/**
 * A volume driver: keeps data that outlives containers, and gives it as a folder of this machine.
 *
 *   validate ─▶ create ─▶ exists ──mount(ref)──▶ in use ──unmount(ref)──▶ exists ──remove──▶ gone
 *
 * Vocabulary: a volume has a name, and options that its maker chose and that only the driver understands; the engine keeps
 * both and gives them with each call. A reference names one user of a mount, as a container's id. The first reference makes
 * the data appear at path(); when the last is gone it may be taken away. A driver that needs no mount only counts.
 *
 * Example:  validate(v); await create(v); const folder = await mount(v, "container"); ...; await unmount(v, "container"); await remove(v)
 *
 * After a crash: create and remove are atomic, a volume is there or not. What was mounted is mounted still. The engine says
 * with restore() who uses it; then sweep() takes away what nobody does.
 *
 * The contract suite is in volume.contract.ts; every driver passes it.
 */
export interface VolumeDriver {
  /** "local". */
  readonly id: string;
  readonly capabilities: { scope: "local" | "global" };

  /** Throws "invalid-parameter" with Docker's words for a name or options that create would refuse. Changes nothing. */
  validate(volume: VolumeSpec): void;
  /** Makes an empty volume. One that exists stays as it is. */
  create(volume: VolumeSpec): Promise<void>;
  /** Drops a volume and its data; a missing one is no error. "system" while a reference is held. */
  remove(volume: VolumeSpec): Promise<void>;
  /** Throws when nobody can say. */
  has(name: string): Promise<boolean>;
  /** Names, in no particular order. Throws when nobody can say. */
  list(): Promise<string[]>;
  /** What the driver says of it beyond what the engine knows; undefined: it is not there. Throws when nobody can say. */
  status?(name: string): Promise<Readonly<Record<string, unknown>> | undefined>;

  /** Where its data is while it is mounted; "" while the driver has not said yet. */
  path(name: string): string;
  /** Adds a reference and gives path(). Idempotent for one reference. Throws "system" with what the kernel said. */
  mount(volume: VolumeSpec, reference: string): Promise<string>;
  /** Drops a reference. False when it was not held. */
  unmount(volume: VolumeSpec, reference: string): Promise<boolean>;
  /** Adds a reference of before the daemon's restart: its mount is there. */
  restore(volume: VolumeSpec, reference: string): void;
  /** Takes away mounts that no reference needs. */
  sweep(): Promise<void>;

  /** Bytes of its files. */
  usage(name: string): Promise<number>;
  /** Ends when removed volumes' files are gone. */
  settled(): Promise<void>;
}

/** An optional ability of a driver: the data of whole volumes without options. What is made or replaced is there whole or not at all. */
export interface MovesVolumes {
  /** `renamed` is no volume's. "system" while a reference is held. */
  rename(name: string, renamed: string): Promise<void>;
  /** What the volume has now, apart from it; by reflinks where the file system has them. */
  copy(name: string): Promise<VolumeCopy>;
  /** The volume's data as a tar archive; with `since`, another volume, what was changed, added and removed (as whiteouts) since then. */
  archive(name: string, since?: string): AsyncIterable<Uint8Array>;
  /** The archive's content takes the place of the volume's; with `apply`, an archive of changes is applied to it. "system" while a reference is held. */
  replace(name: string, archive: AsyncIterable<Uint8Array>, options: { apply: boolean }): Promise<void>;
}

/** Disposed, it is gone, unless it became a volume. */
export interface VolumeCopy extends AsyncDisposable {
  become(name: string): Promise<void>;
  archive(since?: string): AsyncIterable<Uint8Array>;
}

export const movesVolumes = (driver: VolumeDriver): driver is VolumeDriver & MovesVolumes => "replace" in driver;

export interface VolumeSpec {
  name: string;
  options: Readonly<Record<string, string>>;
}
