/** Permitted operations by state, with Docker's words for the refusals; times; event attributes. */
import type { Caller } from "../../../core/caller.ts";
import type { ContainerRecord } from "../../../core/container.ts";
import { conflict, systemError } from "../../../lib/errors.ts";
import type { LifecycleContext } from "./context.ts";

export const isRunning = (record: ContainerRecord): boolean => record.state.status === "running" || record.state.status === "paused" || record.state.status === "restarting";

/** A task exists: running or paused. */
export const hasTask = (record: ContainerRecord): boolean => record.state.status === "running" || record.state.status === "paused";

export const notRunning = (record: ContainerRecord) => conflict(`container ${record.id} is not running`);

/** Throws unless a process can be added or seen: running, not restarting. */
export function requireTask(record: ContainerRecord): void {
  if (record.state.status === "restarting") throw conflict(`Container ${record.id} is restarting, wait until the container is running`);
  if (!hasTask(record)) throw notRunning(record);
}

/** The live task of a record whose state says that it has one. */
export function taskOf(context: LifecycleContext, record: ContainerRecord) {
  requireTask(record);
  const task = context.live(record.id).task;
  if (!task) throw systemError(`container ${record.id} is running but its shim has not been found yet; try again`);
  return task;
}

/** What the last run left, for the state that follows. */
export function lastRun(record: ContainerRecord): { exitCode: number; oomKilled: boolean; error: string; startedAt: bigint; finishedAt: bigint } {
  const state = record.state;
  if (state.status === "running" || state.status === "paused") {
    return { exitCode: 0, oomKilled: false, error: "", startedAt: state.startedAt, finishedAt: state.previous?.finishedAt ?? 0n };
  }
  return { exitCode: state.exitCode ?? 0, oomKilled: state.oomKilled ?? false, error: state.error ?? "", startedAt: state.startedAt ?? 0n, finishedAt: state.finishedAt ?? 0n };
}

/** Emits a container event with Docker's attributes: the labels, image and name, and what the action adds. */
export function emit(context: Pick<LifecycleContext, "events">, record: ContainerRecord, action: string, attributes: Record<string, string> = {}, by?: Caller): void {
  context.events.emit({
    type: "container",
    action,
    actor: { id: record.id, attributes: { ...record.config.Labels, image: record.imageRef, name: record.name, ...attributes } },
    ...(by && { by }),
  });
}
