/**
 * Whole volumes: clones, snapshots, backups and restores. Containers that run with a volume are frozen for as long as its data
 * is copied, not while a client reads it.
 */
import type { VolumeCopy } from "../../core/volume.ts";
import { conflict, invalidParameter } from "../../lib/errors.ts";
import type { VolumeService } from "./service.ts";
import type { Strings } from "./store.ts";
import type { Volume } from "./volume.ts";

/** On a snapshot: the volume that it is of. */
const SNAPSHOT_OF = "gantry.volume.snapshot-of";

export interface CopiesContext {
  volumes: VolumeService;
  /** Runs `work` while none of the containers does. */
  frozen<T>(containers: readonly string[], work: () => Promise<T>): Promise<T>;
  isRunning(container: string): boolean;
}

export interface CloneRequest {
  /** "" for a name by the time, of snapshots only. */
  name: string;
  /** Beside those of the volume. */
  labels: Strings;
  snapshot: boolean;
  /** Freeze who runs with it. */
  pause: boolean;
}

export async function cloneVolume(context: CopiesContext, from: string, { name, labels, snapshot, pause }: CloneRequest): Promise<Volume> {
  if (name === "" && !snapshot) throw invalidParameter("a clone needs a name");
  const { row } = await context.volumes.whole(from);
  const made = name === "" ? `${from}-${new Date().toISOString().replace(/[-:.]/g, "")}` : name;
  const all = { ...row.labels, ...labels, ...(snapshot && { [SNAPSHOT_OF]: from }) };
  return await context.volumes.createWith({ name: made, labels: Object.keys(all).length > 0 ? all : null }, async () => {
    await using copy = await copyOf(context, from, pause);
    await copy.become(made);
  });
}

export interface BackupRequest {
  /** A volume, commonly a snapshot: only what changed since then; "" for all. */
  since: string;
  pause: boolean;
}

/** Calls `send` with the archive. Of a volume that a container runs with, a copy is sent. */
export async function backUp(context: CopiesContext, name: string, { since, pause }: BackupRequest, send: (bytes: AsyncIterable<Uint8Array>) => Promise<void>): Promise<void> {
  const { driver } = await context.volumes.whole(name);
  if (since !== "") await context.volumes.whole(since);
  const older = since === "" ? undefined : since;
  if (!pause || runningUsers(context, name).length === 0) return await send(driver.archive(name, older));
  await using copy = await copyOf(context, name, true);
  await send(copy.archive(older));
}

/** Makes the volume when there is none. Refused while a container runs with it. */
export async function restore(context: CopiesContext, name: string, { bytes, apply }: { bytes: AsyncIterable<Uint8Array>; apply: boolean }): Promise<void> {
  const { volumes } = context;
  const isNew = !apply && (await volumes.create({ name, driver: "", labels: null, options: null })).isNew;
  try {
    const { driver } = await volumes.whole(name);
    const running = runningUsers(context, name);
    if (running.length > 0) throw conflict(`volume ${name} is in use by running containers - [${running.join(", ")}]`);
    await volumes.alone(name, () => driver.replace(name, bytes, { apply }));
  } catch (error) {
    if (isNew) await volumes.remove(name).catch(() => undefined);
    throw error;
  }
}

const runningUsers = ({ volumes, isRunning }: CopiesContext, name: string): string[] => volumes.usersOf(name).filter(isRunning);

async function copyOf(context: CopiesContext, name: string, pause: boolean): Promise<VolumeCopy> {
  const { driver } = await context.volumes.whole(name);
  return await context.frozen(pause ? context.volumes.usersOf(name) : [], () => driver.copy(name));
}
