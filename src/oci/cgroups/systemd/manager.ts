/**
 * systemd as the owner of containers' groups: each container is a scope, made, changed and ended over D-Bus
 * (org.freedesktop.systemd1(5)). Everything inside the scope's group is ours (Delegate=).
 */
import { messageOf, systemError } from "../../../lib/errors.ts";
import type { OciResources } from "../../../lib/oci-spec.ts";
import { DbusConnection, DbusError, bus } from "../../../sys/dbus/connection.ts";
import type { DbusMessage, DbusValue } from "../../../sys/dbus/message.ts";
import type { CgroupLayout } from "../layout.ts";
import type { ManagerBus } from "./bus.ts";
import { startHolder } from "./holder.ts";
import type { Property, Target } from "./properties.ts";
import { accountingProperties, resourceProperties } from "./properties.ts";
import type { SystemdUnit } from "./unit.ts";

const object = { destination: "org.freedesktop.systemd1", path: "/org/freedesktop/systemd1" } as const;
const manager = { ...object, interface: "org.freedesktop.systemd1.Manager" } as const;
const jobSignals = `type='signal',interface='${manager.interface}',member='JobRemoved'`;
const jobTimeoutMs = 30_000;

export interface NewUnit {
  unit: SystemdUnit;
  id: string;
  resources: OciResources;
  /** Of annotations; they win. */
  more: readonly Property[];
}

export interface StartedUnit {
  /** To be called when the container's processes are in its group, or will never be. */
  release: () => Promise<void>;
}

export class SystemdManager implements Disposable {
  readonly #connection: DbusConnection;
  readonly #target: Target;

  private constructor(connection: DbusConnection, target: Target) {
    this.#connection = connection;
    this.#target = target;
  }

  static async open({ socket, direct, user }: ManagerBus, { mode }: Pick<CgroupLayout, "mode">): Promise<SystemdManager> {
    try {
      const connection = await DbusConnection.open(socket, { direct });
      try {
        const [version] = await Promise.all([
          managerProperty(connection, "Version"),
          // systemd tells whoever talks to it directly about everything.
          ...(direct ? [] : [checkNumbers(connection), connection.call({ ...bus, member: "AddMatch", signature: "s", body: [jobSignals] }), connection.call({ ...manager, member: "Subscribe" })]),
        ]);
        return new SystemdManager(connection, { cgroup: mode === "v2" ? 2 : 1, systemd: Number(/^v?(\d+)/.exec(version)?.[1] ?? 0), user });
      } catch (error) {
        connection[Symbol.dispose]();
        throw error;
      }
    } catch (error) {
      throw systemError(`systemd does not answer at ${socket.replace(/^\0/, "@")}: ${messageOf(error)}`, error);
    }
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }

  /** Below which all units of this manager are: "/" of the system's own, or "/user.slice/.../user@1000.service". */
  controlGroup(): Promise<string> {
    return managerProperty(this.#connection, "ControlGroup");
  }

  async start({ unit, id, resources, more }: NewUnit): Promise<StartedUnit> {
    const isSlice = unit.name.endsWith(".slice");
    const limits = resourceProperties({ devices: [], ...resources }, this.#target);
    const common: Property[] = [["Description", ["s", `gantry container ${id}`]], ["DefaultDependencies", ["b", false]], ...accountingProperties(this.#target), ...limits, ...more];
    // A slice has no processes of its own making, and stays without any.
    const holder = isSlice ? undefined : await startHolder();
    const place: Property[] = holder === undefined ? [["Wants", ["as", [unit.slice]]]] : [["Slice", ["s", unit.slice]], ["Delegate", ["b", true]], ["PIDs", ["au", [holder.pid]]]];
    const release = async (): Promise<void> => holder?.end();
    try {
      await this.#startUnit(unit.name, [...place, ...common]);
    } catch (error) {
      await release();
      throw systemError(`unable to start unit ${JSON.stringify(unit.name)}: ${messageOf(error)}`, error);
    }
    return { release };
  }

  /** Moves this process into a scope of its own. */
  async enter(): Promise<void> {
    const name = `gantry-runtime-${process.pid}.scope`;
    await this.#startUnit(name, [["Description", ["s", "a call of gantry-runtime"]], ["Slice", ["s", "app.slice"]], ["CollectMode", ["s", "inactive-or-failed"]], ["PIDs", ["au", [process.pid]]]]);
  }

  /** Until the next boot, as all of a scope. */
  async update(unit: string, resources: OciResources): Promise<void> {
    const properties = resourceProperties(resources, this.#target);
    if (properties.length === 0) return;
    try {
      await this.#call("SetUnitProperties", "sba(sv)", [unit, true, properties]);
    } catch (error) {
      throw systemError(`unable to set properties of unit ${JSON.stringify(unit)}: ${messageOf(error)}`, error);
    }
  }

  /** One that is gone by itself is well. */
  async stop(unit: string): Promise<void> {
    try {
      await this.#job(unit, "StopUnit", "ss", [unit, "replace"]);
    } catch (error) {
      if (!(error instanceof DbusError) || error.dbusName !== "org.freedesktop.systemd1.NoSuchUnit") throw systemError(`unable to stop unit ${JSON.stringify(unit)}: ${messageOf(error)}`, error);
    }
    await this.#forgetFailure(unit);
  }

  async #startUnit(name: string, properties: Property[]): Promise<void> {
    const start = (): Promise<string> => this.#job(name, "StartTransientUnit", "ssa(sv)a(sa(sv))", [name, "replace", properties, []]);
    const result = await start().catch(async (error: unknown) => {
      if (!(error instanceof DbusError) || error.dbusName !== "org.freedesktop.systemd1.UnitExists") throw error;
      // Perhaps what is left of a container that failed.
      await this.#forgetFailure(name);
      return await start();
    });
    if (result === "done") return;
    await this.#forgetFailure(name);
    throw systemError(`systemd's job ended as ${JSON.stringify(result)}`);
  }

  /** A unit that is not there, or has not failed, is well. */
  async #forgetFailure(unit: string): Promise<void> {
    await this.#call("ResetFailedUnit", "s", [unit]).catch(() => undefined);
  }

  /** Waits for the job's end, and gives its result: "done", or what came instead. The signal may come before the answer that names the job. */
  async #job(unit: string, member: string, signature: string, body: DbusValue[]): Promise<string> {
    const ended = new Map<DbusValue, string>();
    const wake = Promise.withResolvers<void>();
    wake.promise.catch(() => undefined);
    let job: DbusValue | undefined;
    const unlisten = this.#connection.listen((message: DbusMessage) => {
      if (message.member !== "JobRemoved" || message.interface !== manager.interface) return;
      const [, path = "", , result] = message.body ?? [];
      ended.set(path, String(result));
      if (path === job) wake.resolve();
    });
    const timer = setTimeout(() => wake.reject(systemError(`systemd has not ended its job ${member} of ${unit} in ${jobTimeoutMs / 1000} seconds`)), jobTimeoutMs);
    try {
      [job] = await this.#call(member, signature, body);
      if (!ended.has(job!)) await Promise.race([wake.promise, this.#connection.lost]);
      return ended.get(job!)!;
    } finally {
      clearTimeout(timer);
      unlisten();
    }
  }

  #call(member: string, signature: string, body: DbusValue[]): Promise<DbusValue[]> {
    return this.#connection.call({ ...manager, member, signature, body });
  }
}

/** In a pid namespace of our own, processes have other numbers there: a scope would get somebody else's. A bus may not know. */
async function checkNumbers(connection: DbusConnection): Promise<void> {
  const [pid = process.pid] = await connection.call({ ...bus, member: "GetConnectionUnixProcessID", signature: "s", body: [connection.name] }).catch((error: unknown) => {
    if (error instanceof DbusError) return [];
    throw error;
  });
  if (pid !== process.pid) throw systemError(`process ${process.pid} is ${String(pid)} there: systemd is outside of this pid namespace`);
}

async function managerProperty(connection: DbusConnection, name: string): Promise<string> {
  const [variant] = await connection.call({ ...object, interface: "org.freedesktop.DBus.Properties", member: "Get", signature: "ss", body: [manager.interface, name] });
  return String((variant as DbusValue[])[1]);
}
