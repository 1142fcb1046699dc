/** Opening a container's files, and who else may touch the container meanwhile. */
import { setTimeout as delay } from "node:timers/promises";
import type { ContainerView } from "../../../core/container-files.ts";
import type { ContainerRecord } from "../../../core/container.ts";
import { GantryError, messageOf, systemError } from "../../../lib/errors.ts";
import type { ContainersContext } from "../context.ts";
import { hasEnded } from "./errno.ts";
import { openLayer, requireLayer } from "../layer.ts";
import { hasTask } from "../lifecycle/state.ts";
import { withMounts } from "./mounts.ts";

export interface OpenContainer {
  record: ContainerRecord;
  view: ContainerView;
}

export interface ViewNeeds {
  /** With the container's volumes, binds and the engine's files. */
  mounts: boolean;
  /** The container is kept as it is until the work ends, also while it runs. */
  exclusive: boolean;
}

/**
 * Opens a container's files for `work`. One that does not run is held: its layer must not be mounted a second time.
 * Throws Docker's not-found.
 */
export async function withFiles<T>(context: ContainersContext, ref: string, { mounts, exclusive }: ViewNeeds, work: (opened: OpenContainer) => Promise<T>): Promise<T> {
  const { id } = context.store.find(ref);
  for (const end = Date.now() + END_MS; ; await delay(LOOK_MS)) {
    const held = await context.store.withContainer(id, async (): Promise<{ result: T } | OpenContainer | "ending"> => {
      const record = context.store.find(id);
      const view = await openView(context, record, mounts).catch((error: unknown) => (hasTask(record) && isGone(error) && Date.now() < end ? "ending" : Promise.reject(error)));
      if (view === "ending") return view;
      return hasTask(record) && !exclusive ? { record, view } : { result: await closing({ record, view }, work) };
    });
    if (held === "ending") continue;
    return "result" in held ? held.result : await closing(held, work);
  }
}

/** A process that has ended is one of a container that runs until its end is recorded, which takes the container's lock. */
const END_MS = 5_000;
const LOOK_MS = 10;

const isGone = (error: unknown): boolean => hasEnded((error as { cause?: unknown }).cause);

async function closing<T>(opened: OpenContainer, work: (opened: OpenContainer) => Promise<T>): Promise<T> {
  using _view = opened.view;
  return await work(opened);
}

async function openView(context: ContainersContext, record: ContainerRecord, mounts: boolean): Promise<ContainerView> {
  const { state } = record;
  const running = state.status === "running" || state.status === "paused";
  if (!running) {
    requireLayer(context.layers, record);
    await context.tasks.released(record);
  }
  // The view keeps what it opens.
  await using layer = running ? undefined : await openLayer(context.layers, record, context.settings);
  const root = layer ? { rootfs: layer.mounts } : { id: record.id, pid: running ? state.pid : 0 };
  try {
    return mounts ? await withMounts(context, record, (list) => context.openFiles(root, list)) : await context.openFiles(root, []);
  } catch (error) {
    if (error instanceof GantryError) throw error;
    throw systemError(`cannot open the files of container ${record.id}: ${messageOf(error)}`, error);
  }
}
