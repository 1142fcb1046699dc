/** A volume as the engine shows it. */
import type { Strings, VolumeRow } from "./store.ts";

/** Of volumes that nobody named. */
export const ANONYMOUS = "com.docker.volume.anonymous";

export interface Volume {
  CreatedAt: string;
  Driver: string;
  Labels: Strings | null;
  Mountpoint: string;
  Name: string;
  Options: Strings | null;
  Scope: string;
  /** What its driver says of it. */
  Status?: Readonly<Record<string, unknown>>;
}

export interface SizedVolume extends Volume {
  /** Bytes, -1 when they could not be counted; and how many containers use it. */
  UsageData: { RefCount: number; Size: number };
}

export function shownVolume(row: VolumeRow, { mountpoint, scope }: { mountpoint: string; scope: string }): Volume {
  return { CreatedAt: row.created, Driver: row.driver, Labels: sorted(row.labels), Mountpoint: mountpoint, Name: row.name, Options: sorted(row.options), Scope: scope };
}

const sorted = (strings: Strings | null): Strings | null => strings && Object.fromEntries(Object.entries(strings).sort(([a], [b]) => (a < b ? -1 : 1)));
