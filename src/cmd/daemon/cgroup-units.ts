/** --exec-opt native.cgroupdriver=systemd. Nothing of it is loaded without. */
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import type { CgroupLayout } from "../../oci/cgroups/layout.ts";
import type { TaskUnits } from "../../oci/task.ts";
import type { DaemonConfig } from "./config.ts";

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
