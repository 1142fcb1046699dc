/** From a container's configuration to the unit that it means, and its life around the container's. */
import type { OciResources, OciSpec } from "../../../lib/oci-spec.ts";
import type { CgroupGroup } from "../groups.ts";
import { groupOf } from "../groups.ts";
import { annotatedProperties } from "./annotations.ts";
import type { SystemdManager } from "./manager.ts";
import type { Property } from "./properties.ts";
import type { SystemdUnit } from "./unit.ts";
import { unitOf } from "./unit.ts";

export interface PlannedScope {
  unit: SystemdUnit;
  /** The given configuration with the group that systemd will make. */
  spec: OciSpec;
  annotated: Property[];
  /** Limits that leave no room for the process that the unit begins with: to be set when that one has gone. */
  later: OciResources | undefined;
}

/** Nothing is made. */
export function planScope(given: OciSpec, id: string, manager: { user?: boolean; managerGroup?: string } = {}): PlannedScope {
  const unit = unitOf(given.linux?.cgroupsPath, id, manager);
  const { resources } = given.linux ?? {};
  const tight = resources?.pids?.limit === 0 || resources?.pids?.limit === 1;
  const linux = { ...given.linux, cgroupsPath: unit.path, ...(tight && { resources: { ...resources, pids: { limit: 2 } } }) };
  return { unit, spec: { ...given, linux }, annotated: annotatedProperties(given.annotations), later: tight ? { pids: { limit: 1 } } : undefined };
}

/** Starts the unit and has `make` put processes into it. */
export async function inNewScope<Made>(manager: SystemdManager, { unit, annotated, spec }: PlannedScope, id: string, make: () => Promise<Made>): Promise<Made> {
  const { release } = await manager.start({ unit, id, resources: spec.linux?.resources ?? {}, more: annotated });
  try {
    return await make();
  } finally {
    await release();
  }
}

/** Changes of a quota or of its period alone as both: systemd has one property of them. `read`: a file's text, if it is there. */
export function withStandingQuota(resources: OciResources, groups: CgroupGroup[], read: (path: string) => string | undefined): OciResources {
  const { cpu } = resources;
  const group = groupOf(groups, "cpu");
  if (!cpu || group === undefined || Boolean(cpu.quota) === Boolean(cpu.period)) return resources;
  const files = group.hierarchy.version === 2 ? ["cpu.max"] : ["cpu.cfs_quota_us", "cpu.cfs_period_us"];
  const [quota = "max", period = "100000"] = files.flatMap((file) => (read(`${group.path}/${file}`) ?? "").trim().split(" "));
  return { ...resources, cpu: { ...cpu, quota: cpu.quota || (quota === "max" ? -1 : Number(quota)), period: cpu.period || Number(period) } };
}
