/** systemd's manager on a bus of its own, for tests: keeps units and their properties, and moves processes nowhere. */
import type { Answer } from "../../../sys/dbus/service.testing.ts";
import { TestBus } from "../../../sys/dbus/service.testing.ts";
import type { DbusMessage, DbusValue } from "../../../sys/dbus/message.ts";
import type { ManagerBus } from "./bus.ts";

interface Unit {
  properties: Record<string, DbusValue>;
  pids: number[];
  failed: boolean;
}

const known = /^(Description|Slice|Delegate|PIDs|Wants|DefaultDependencies|\w+Accounting|Memory\w+|CPU\w+|Allowed\w+|TasksMax|BlockIO\w+|Device\w+|Timeout\w+|CollectMode)$/;

export class FakeSystemd implements Disposable {
  readonly units = new Map<string, Unit>();
  /** Members that were called. */
  readonly calls: string[] = [];
  /** Undefined: jobs do not end. */
  jobResult: string | undefined = "done";
  /** What the bus says of whoever calls. */
  callersPid: number | undefined;
  /** Called for each new unit. */
  onStart: (name: string, unit: Unit) => void = () => {};
  /** After each call. */
  onCall: () => void = () => {};
  readonly bus: ManagerBus;
  #bus!: TestBus;
  #job = 0;

  private constructor(bus: ManagerBus) {
    this.bus = bus;
  }

  static async listen(path: string): Promise<FakeSystemd> {
    const systemd = new FakeSystemd({ socket: path, direct: false, user: false });
    systemd.#bus = await TestBus.listen(path, (call) => systemd.#answer(call));
    return systemd;
  }

  [Symbol.dispose](): void {
    this.#bus[Symbol.dispose]();
  }

  hangUp(): void {
    this.#bus.hangUp();
  }

  addFailed(name: string): void {
    this.units.set(name, { properties: {}, pids: [], failed: true });
  }

  /** Resolves when `member` has been called as often. */
  async asked(member: string, times: number): Promise<void> {
    while (this.calls.filter((name) => name === member).length < times) await new Promise<void>((resolve) => (this.onCall = resolve));
  }

  #answer(call: DbusMessage): Answer {
    this.calls.push(call.member!);
    const answer = this.#handle(call);
    this.onCall();
    return answer;
  }

  #handle({ member, body = [] }: DbusMessage): Answer {
    const name = body[0] as string;
    switch (member) {
      case "AddMatch":
      case "Subscribe":
        return {};
      case "GetConnectionUnixProcessID":
        return this.callersPid === undefined ? refused("org.freedesktop.DBus.Error.UnixProcessIdUnknown", "Could not determine PID") : { signature: "u", body: [this.callersPid] };
      case "Get":
        return { signature: "v", body: [["s", body[1] === "Version" ? "252.1-test" : "/"]] };
      case "StartTransientUnit":
        return this.#start(name, body[2] as [string, [string, DbusValue]][]);
      case "SetUnitProperties":
        return this.#set(name, body[2] as [string, [string, DbusValue]][]);
      case "StopUnit":
        if (!this.units.delete(name)) return refused("org.freedesktop.systemd1.NoSuchUnit", `Unit ${name} not loaded.`);
        return this.#runJob(name);
      case "ResetFailedUnit":
        if (this.units.get(name)?.failed) this.units.delete(name);
        return {};
      default:
        return refused("org.freedesktop.DBus.Error.UnknownMethod", `Unknown method ${member}`);
    }
  }

  #start(name: string, given: [string, [string, DbusValue]][]): Answer {
    if (this.units.has(name)) return refused("org.freedesktop.systemd1.UnitExists", `Unit ${name} was already loaded or has a fragment file.`);
    const unit: Unit = { properties: {}, pids: [], failed: false };
    this.units.set(name, unit);
    const answer = this.#set(name, given);
    if (answer.error !== undefined || this.jobResult !== "done") this.units.delete(name);
    if (answer.error !== undefined) return answer;
    unit.pids = (unit.properties["PIDs"] as number[] | undefined) ?? [];
    this.onStart(name, unit);
    return this.#runJob(name);
  }

  #set(name: string, given: [string, [string, DbusValue]][]): Answer {
    const unit = this.units.get(name);
    if (unit === undefined) return refused("org.freedesktop.systemd1.NoSuchUnit", `Unit ${name} not loaded.`);
    for (const [property, [, value]] of given) {
      if (!known.test(property)) return refused("org.freedesktop.DBus.Error.PropertyReadOnly", `Cannot set property ${property}, or unknown property.`);
      unit.properties[property] = value;
    }
    return {};
  }

  /** Its end is told before the answer that names it, as may happen. */
  #runJob(unit: string): Answer {
    const job = `/org/freedesktop/systemd1/job/${++this.#job}`;
    if (this.jobResult !== undefined) this.#bus.signal({ path: "/org/freedesktop/systemd1", interface: "org.freedesktop.systemd1.Manager", member: "JobRemoved", signature: "uoss", body: [this.#job, job, unit, this.jobResult] });
    return { signature: "o", body: [job] };
  }
}

const refused = (error: string, text: string): Answer => ({ error, signature: "s", body: [text] });
