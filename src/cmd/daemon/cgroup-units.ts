/** Containers' groups: by systemd with --exec-opt native.cgroupdriver=systemd, nothing of which is loaded without, and what is above them. */
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import type { CgroupLayout } from "../../oci/cgroups/layout.ts";
import { realtimeGiver } from "../../oci/cgroups/realtime.ts";
import type { TaskUnits } from "../../oci/task.ts";
import type { ContainerDefaults, DaemonConfig } from "./config.ts";

/** Undefined: shims make the groups of their tasks. Throws when there is no systemd. */
export async function cgroupUnits({ containers }: DaemonConfig, layout: CgroupLayout, warn: (message: string) => void): Promise<TaskUnits | undefined> {
  if (containers.cgroupDriver === "cgroupfs") return undefined;
  const [{ managerBus }, { SystemdTasks }] = await Promise.all([import("../../oci/cgroups/systemd/bus.ts"), import("../../oci/cgroups/systemd/tasks.ts")]);
  try {
    return new SystemdTasks(managerBus({ uid: process.geteuid!(), variable: (name) => process.env[name] }), layout, warn);
  } catch (error) {
    throw invalidParameter(`native.cgroupdriver=systemd: ${messageOf(error)}`, error);
  }
}

/** What makes the parent of containers' groups ready for real time; undefined: nobody wants it. */
export function realtimeOf({ realtime, cgroupDriver }: ContainerDefaults, layout: CgroupLayout): ((parent: string) => void) | undefined {
  if (realtime.period === 0 && realtime.runtime === 0) return undefined;
  if (cgroupDriver === "systemd") throw invalidParameter("cpu-rt-period and cpu-rt-runtime are not supported with native.cgroupdriver=systemd");
  return realtimeGiver(layout, realtime);
}
