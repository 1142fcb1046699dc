/** The daemon's tasks, when systemd makes their groups; each request has a connection of its own. */
import { basename } from "node:path/posix";
import { messageOf } from "../../../lib/errors.ts";
import type { OciResources, OciSpec } from "../../../lib/oci-spec.ts";
import type { TaskUnits } from "../../task.ts";
import type { CgroupGroup } from "../groups.ts";
import type { CgroupLayout } from "../layout.ts";
import type { ManagerBus } from "./bus.ts";
import { SystemdManager } from "./manager.ts";
import type { PlannedScope } from "./scope.ts";
import { inNewScope, planScope, withStandingQuota } from "./scope.ts";

export class SystemdTasks implements TaskUnits {
  readonly #bus: ManagerBus;
  readonly #layout: CgroupLayout;
  readonly #warn: (message: string) => void;

  constructor(bus: ManagerBus, layout: CgroupLayout, warn: (message: string) => void) {
    this.#bus = bus;
    this.#layout = layout;
    this.#warn = warn;
  }

  plan(spec: OciSpec, id: string): PlannedScope {
    return planScope(spec, id);
  }

  async make<Made>(planned: PlannedScope, id: string, make: () => Promise<Made>): Promise<Made> {
    using manager = await this.#open();
    try {
      return await inNewScope(manager, planned, id, make);
    } catch (error) {
      await manager.stop(planned.unit.name).catch(() => undefined);
      throw error;
    }
  }

  async update(spec: OciSpec, resources: OciResources, groups: CgroupGroup[], read: (path: string) => string | undefined): Promise<void> {
    const unit = unitIn(spec);
    if (unit === undefined) return;
    using manager = await this.#open();
    await manager.update(unit, withStandingQuota(resources, groups, read));
  }

  /** A scope without processes goes by itself: only its failure would be remembered. */
  async stop(spec: OciSpec): Promise<void> {
    const unit = unitIn(spec);
    if (unit === undefined) return;
    try {
      using manager = await this.#open();
      await manager.stop(unit);
    } catch (error) {
      this.#warn(`stopping ${unit}: ${messageOf(error)}`);
    }
  }

  #open(): Promise<SystemdManager> {
    return SystemdManager.open(this.#bus, this.#layout);
  }
}

/** Of a task whose group systemd made; undefined for one from before. */
function unitIn({ linux }: OciSpec): string | undefined {
  const name = basename(linux?.cgroupsPath ?? "");
  return name.endsWith(".scope") ? name : undefined;
}
