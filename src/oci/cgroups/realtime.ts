/**
 * Real-time runtime of the groups above containers' own (Documentation/scheduler/sched-rt-group.rst): a group gives its children of
 * what it has itself, and a new one has none. Only cgroup v1 has it, where the kernel was built with it.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { invalidParameter, systemError } from "../../lib/errors.ts";
import type { CgroupLayout } from "./layout.ts";

/** In microseconds; 0: as it is. */
export interface Realtime {
  period: number;
  runtime: number;
}

/** What makes a parent, and those above it, ready. Throws when there is no such thing on this machine. */
export function realtimeGiver({ hierarchies }: CgroupLayout, { period, runtime }: Realtime): (parent: string) => void {
  const cpu = hierarchies.find(({ version, controllers }) => version === 1 && controllers.includes("cpu"));
  if (!cpu) throw invalidParameter("daemon-scoped cpu-rt-period and cpu-rt-runtime are not implemented for cgroup v2");
  if (!existsSync(join(cpu.mountpoint, "cpu.rt_runtime_us"))) throw invalidParameter("daemon-scoped cpu-rt-period and cpu-rt-runtime are not supported by the kernel");
  return (parent) => {
    let folder = cpu.mountpoint;
    for (const name of parent.split("/").filter((part) => part !== "")) {
      folder = join(folder, name);
      mkdirSync(folder, { recursive: true });
      give(join(folder, "cpu.rt_period_us"), period);
      give(join(folder, "cpu.rt_runtime_us"), runtime);
    }
  };
}

function give(file: string, value: number): void {
  if (value === 0) return;
  try {
    writeFileSync(file, String(value), { flag: "r+" });
  } catch (error) {
    throw systemError(`failed to write ${value} to ${file}: ${(error as NodeJS.ErrnoException).code}`, error);
  }
}
