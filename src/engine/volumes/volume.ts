/** A volume as the engine shows it. */
import { codeOf, GantryError, messageOf } from "../../lib/errors.ts";
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

const explain = (action: string, name: string, error: unknown): GantryError => new GantryError(codeOf(error), `${name === "" ? action : `${action} ${name}`}: ${messageOf(error)}`, { cause: error });

/** Errors say what was asked. */
export async function explained<T>(action: string, name: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw explain(action, name, error);
  }
}
