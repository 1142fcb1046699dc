/** --systemd-cgroup: what commands ask of systemd, each by a connection of its own. Nothing of it is loaded without. */
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import type { OciResources, OciSpec } from "../../lib/oci-spec.ts";
import { detectLayout } from "../cgroups/layout.ts";
import type { BusCaller, ManagerBus } from "../cgroups/systemd/bus.ts";
import type { SystemdManager } from "../cgroups/systemd/manager.ts";
import type { PlannedScope } from "../cgroups/systemd/scope.ts";
import { groupsOf } from "./cgroups.ts";
import type { Caller } from "./caller.ts";
import { NotServed } from "./caller.ts";
import { textOf } from "../host.ts";

/** Of a container's record. */
export interface RecordedUnit {
  name: string;
  bus: ManagerBus;
}

export interface PlannedUnit extends PlannedScope {
  recorded: RecordedUnit;
}

/** The unit that a configuration means; nothing is made. */
export async function planUnit(given: OciSpec, id: string, caller: Caller): Promise<PlannedUnit> {
  const [{ managerBus }, { planScope }] = await Promise.all([import("../cgroups/systemd/bus.ts"), import("../cgroups/systemd/scope.ts")]);
  const bus = busOf(caller, managerBus);
  const planned = planScope(given, id, { user: bus.user, managerGroup: bus.user ? await groupOf(bus) : "" });
  return { ...planned, recorded: { name: planned.unit.name, bus } };
}

function busOf({ variable }: Caller, managerBus: (caller: BusCaller) => ManagerBus): ManagerBus {
  try {
    return managerBus({ uid: process.geteuid!(), variable });
  } catch (error) {
    throw invalidParameter(`systemd cgroup flag passed, but ${messageOf(error)}. Without --systemd-cgroup, and with a path as cgroupsPath, cgroups are made directly`, error);
  }
}

/**
 * An ordinary user's processes get into groups of the user's manager only from other groups of it: where this process is in none,
 * it moves into a scope of its own first, and what it starts is born there.
 */
export async function enterManager({ bus }: RecordedUnit, caller: Caller): Promise<void> {
  if (!bus.user) return;
  if (!caller.handsOnFds) throw new NotServed("the caller has to move");
  using manager = await open(bus);
  const own = /^0::(.*)$/m.exec(textOf("/proc/self/cgroup"))?.[1] ?? "";
  if (!`${own}/`.startsWith(`${await manager.controlGroup()}/`)) await manager.enter();
}

/** Starts the unit and has `make` put processes into it. */
export async function inNewUnit<Made>(planned: PlannedUnit, id: string, make: () => Promise<Made>): Promise<Made> {
  const { inNewScope } = await import("../cgroups/systemd/scope.ts");
  using manager = await open(planned.recorded.bus);
  return await inNewScope(manager, planned, id, make);
}

export async function updateUnit({ name, bus }: RecordedUnit, resources: OciResources, cgroups: readonly string[]): Promise<void> {
  const { withStandingQuota } = await import("../cgroups/systemd/scope.ts");
  const layout = detectLayout();
  using manager = await open(bus);
  await manager.update(name, withStandingQuota(resources, groupsOf(cgroups, layout), textOf));
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
