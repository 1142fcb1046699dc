/** Freezing and thawing. */
import type { ContainerRecord } from "../../../core/container.ts";
import { codeOf, conflict, systemError } from "../../../lib/errors.ts";
import { faultPoint } from "../../../lib/fault.ts";
import type { LifecycleContext } from "./context.ts";
import { persist } from "./persist.ts";
import { emit, notRunning, requireTask, taskOf } from "./state.ts";

export async function pause(context: LifecycleContext, ref: string): Promise<void> {
  const { id } = context.store.find(ref);
  await context.store.withContainer(id, async () => {
    const record = context.store.find(id);
    requireTask(record);
    if (record.state.status === "paused") throw conflict(`container ${id} is already paused`);
    await freeze(context, record);
  });
}

/** The container's lock is held. Only a running one is frozen. */
export async function freeze(context: LifecycleContext, record: ContainerRecord): Promise<void> {
  if (record.state.status !== "running") return;
  await taskOf(context, record)
    .pause()
    .catch((error: unknown) => {
      throw codeOf(error) === "not-found" ? notRunning(record) : error;
    });
  faultPoint("pause-frozen");
  record.state = { ...record.state, status: "paused" };
  persist(context, record);
  emit(context, record, "pause");
}

export async function unpause(context: LifecycleContext, ref: string): Promise<void> {
  const { id } = context.store.find(ref);
  await context.store.withContainer(id, async () => {
    const record = context.store.find(id);
    if (record.state.status !== "paused") throw systemError(`Container ${id} is not paused`);
    await thaw(context, record);
  });
}

/** The container's lock is held. Only a paused one is thawed. */
export async function thaw(context: LifecycleContext, record: ContainerRecord): Promise<void> {
  if (record.state.status !== "paused") return;
  await taskOf(context, record)
    .resume()
    .catch((error: unknown) => {
      throw codeOf(error) === "not-found" ? notRunning(record) : error;
    });
  record.state = { ...record.state, status: "running" };
  persist(context, record);
  emit(context, record, "unpause");
}
