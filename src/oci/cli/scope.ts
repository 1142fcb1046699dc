/** --systemd-cgroup: what commands ask of systemd, each by a connection of its own. Nothing of it is loaded without. */
import type { OciResources, OciSpec } from "../../lib/oci-spec.ts";
import { detectLayout } from "../cgroups/layout.ts";
import type { ManagerBus } from "../cgroups/systemd/bus.ts";
import type { SystemdManager } from "../cgroups/systemd/manager.ts";
import type { Property } from "../cgroups/systemd/properties.ts";
import type { SystemdUnit } from "../cgroups/systemd/unit.ts";
import type { Caller } from "./caller.ts";

/** Of a container's record. */
export interface RecordedUnit {
  name: string;
  bus: ManagerBus;
}

export interface PlannedUnit {
  unit: SystemdUnit;
  bus: ManagerBus;
  /** The given configuration with the group that systemd will make. */
  spec: OciSpec;
  /** Limits that leave no room for the process that the unit begins with: to be set when that one has gone. */
  later: OciResources | undefined;
  annotated: Property[];
}

/** The unit that a configuration means; nothing is made. */
export async function planUnit(given: OciSpec, id: string, caller: Caller): Promise<PlannedUnit> {
  const [{ managerBus }, { unitOf }, { annotatedProperties }] = await Promise.all([import("../cgroups/systemd/bus.ts"), import("../cgroups/systemd/unit.ts"), import("../cgroups/systemd/annotations.ts")]);
  const bus = managerBus({ uid: process.geteuid!(), variable: caller.variable });
  const unit = unitOf(given.linux?.cgroupsPath, id, { user: bus.user, managerGroup: bus.user ? await groupOf(bus) : "" });
  const { resources } = given.linux ?? {};
  const tight = resources?.pids?.limit === 0 || resources?.pids?.limit === 1;
  const linux = { ...given.linux, cgroupsPath: unit.path, ...(tight && { resources: { ...resources, pids: { limit: 2 } } }) };
  return { unit, bus, annotated: annotatedProperties(given.annotations), spec: { ...given, linux }, later: tight ? { pids: { limit: 1 } } : undefined };
}

/** Starts the unit and has `make` put processes into it. */
export async function inNewUnit<Made>({ unit, bus, annotated, spec }: PlannedUnit, id: string, make: () => Promise<Made>): Promise<Made> {
  using manager = await open(bus);
  const { release } = await manager.start({ unit, id, resources: spec.linux?.resources ?? {}, more: annotated });
  try {
    return await make();
  } finally {
    await release();
  }
}

export async function updateUnit({ name, bus }: RecordedUnit, resources: OciResources): Promise<void> {
  using manager = await open(bus);
  await manager.update(name, resources);
}

export async function stopUnit({ name, bus }: RecordedUnit): Promise<void> {
  using manager = await open(bus);
  await manager.stop(name);
}

async function groupOf(bus: ManagerBus): Promise<string> {
  using manager = await open(bus);
  return await manager.controlGroup();
}

const open = async (bus: ManagerBus): Promise<SystemdManager> => (await import("../cgroups/systemd/manager.ts")).SystemdManager.open(bus, detectLayout());
