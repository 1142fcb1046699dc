import { existsSync } from "node:fs";
import { textOf } from "../host.ts";
import { isFrozen } from "./cgroups.ts";
import type { ContainerRecord, ContainerStore } from "./store.ts";

export type Status = "created" | "running" | "paused" | "stopped";

/** Fields 3 (state) and 22 (start time) of /proc/PID/stat; the name before them may contain anything. */
function statOf(pid: number): { state: string; startTime: string } | undefined {
  const text = textOf(`/proc/${pid}/stat`);
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return text === "" ? undefined : { state: fields[0] ?? "", startTime: fields[19] ?? "" };
}

export const startTimeOf = (pid: number): string => statOf(pid)?.startTime ?? "";

export function statusOf(record: ContainerRecord, store: ContainerStore): Status {
  const stat = record.pid > 0 ? statOf(record.pid) : undefined;
  if (stat === undefined || stat.startTime !== record.startTime || stat.state === "Z" || stat.state === "X") return "stopped";
  if (isFrozen(record.cgroups)) return "paused";
  return existsSync(store.startFifo(record.id)) ? "created" : "running";
}

/** What `state` prints: the specification's state, and what runc adds. */
export function stateOf(record: ContainerRecord, store: ContainerStore): Record<string, unknown> {
  const status = statusOf(record, store);
  return {
    ociVersion: record.spec.ociVersion,
    id: record.id,
    pid: status === "stopped" ? 0 : record.pid,
    status,
    bundle: record.bundle,
    rootfs: rootOf(record),
    created: record.created,
    ...(record.spec.annotations && Object.keys(record.spec.annotations).length > 0 && { annotations: record.spec.annotations }),
    owner: "",
  };
}

export function rootOf({ spec, bundle }: Pick<ContainerRecord, "spec" | "bundle">): string {
  const path = spec.root?.path ?? "";
  return path.startsWith("/") ? path : `${bundle}/${path}`;
}
