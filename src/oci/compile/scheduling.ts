import { invalidParameter } from "../../lib/errors.ts";
import { lookup } from "../../lib/lookup.ts";
import type { OciProcess } from "../../lib/oci-spec.ts";
import type { ExecStep } from "../plan/types.ts";

/** include/uapi/linux/sched.h */
const policies: Record<string, number> = { SCHED_OTHER: 0, SCHED_FIFO: 1, SCHED_RR: 2, SCHED_BATCH: 3, SCHED_ISO: 4, SCHED_IDLE: 5, SCHED_DEADLINE: 6 };
const schedulerFlags: Record<string, bigint> = {
  SCHED_FLAG_RESET_ON_FORK: 0x01n,
  SCHED_FLAG_RECLAIM: 0x02n,
  SCHED_FLAG_DL_OVERRUN: 0x04n,
  SCHED_FLAG_KEEP_POLICY: 0x08n,
  SCHED_FLAG_KEEP_PARAMS: 0x10n,
  SCHED_FLAG_UTIL_CLAMP_MIN: 0x20n,
  SCHED_FLAG_UTIL_CLAMP_MAX: 0x40n,
};

export function compileScheduler(scheduler: OciProcess["scheduler"]): ExecStep["scheduler"] {
  if (scheduler === undefined || scheduler === null) return undefined;
  const where = "process.scheduler";
  const policy = lookup(policies, scheduler.policy);
  if (policy === undefined) throw invalidParameter(`${where}.policy: unknown policy ${JSON.stringify(scheduler.policy)}`);
  const { nice = 0, priority = 0, runtime = 0, deadline = 0, period = 0 } = scheduler;
  if (nice < -20 || nice > 19) throw invalidParameter(`${where}.nice ${nice} is not from -20 to 19`);
  if (priority !== 0 && !["SCHED_FIFO", "SCHED_RR"].includes(scheduler.policy)) throw invalidParameter(`${where}.priority is for SCHED_FIFO and SCHED_RR only`);
  if ((runtime || deadline || period) && scheduler.policy !== "SCHED_DEADLINE") throw invalidParameter(`${where}: runtime, deadline and period are for SCHED_DEADLINE only`);
  let flags = 0n;
  for (const name of scheduler.flags ?? []) {
    const flag = lookup(schedulerFlags, name);
    if (flag === undefined) throw invalidParameter(`${where}.flags: unknown flag ${JSON.stringify(name)}`);
    flags |= flag;
  }
  return { policy, flags, nice, priority, runtime: BigInt(runtime), deadline: BigInt(deadline), period: BigInt(period) };
}

/** include/uapi/linux/ioprio.h */
const ioClasses: Record<string, number> = { IOPRIO_CLASS_RT: 1, IOPRIO_CLASS_BE: 2, IOPRIO_CLASS_IDLE: 3 };

export function compileIoPriority(ioPriority: OciProcess["ioPriority"]): number | undefined {
  if (ioPriority === undefined || ioPriority === null) return undefined;
  const ioClass = lookup(ioClasses, ioPriority.class);
  if (ioClass === undefined) throw invalidParameter(`process.ioPriority.class: unknown class ${JSON.stringify(ioPriority.class)}`);
  const priority = ioPriority.priority ?? 0;
  if (!Number.isInteger(priority) || priority < 0 || priority > 7) throw invalidParameter(`process.ioPriority.priority ${priority} is not from 0 to 7`);
  return (ioClass << 13) | priority;
}
