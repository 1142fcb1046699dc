import type { OciResources } from "../../../lib/oci-spec.ts";
import type { Controller, CgroupWrite } from "../controller.ts";
import { write } from "../controller.ts";

/** Documentation/scheduler/sched-bwc.rst. A quota is checked against the period that stands, so on an update the period is
 *  written before and after it; a burst above the quota is refused, so it is lowered first. */
export const cpu: Controller = {
  name: "cpu",
  field: "cpu",
  writes({ cpu = {} }, { current }) {
    const writes: CgroupWrite[] = [...write("cpu.shares", cpu.shares || undefined), ...write("cpu.idle", cpu.idle)];
    const updating = current !== undefined && cpu.quota !== undefined;
    if (updating && cpu.burst !== undefined) writes.push({ file: "cpu.cfs_burst_us", data: "0", optional: ["ENOENT"] });
    const period = write("cpu.cfs_period_us", cpu.period || undefined);
    if (updating && period[0] !== undefined) writes.push({ ...period[0], optional: ["EINVAL"] }, ...write("cpu.cfs_quota_us", cpu.quota), ...period);
    else writes.push(...period, ...write("cpu.cfs_quota_us", cpu.quota || undefined));
    writes.push(...write("cpu.cfs_burst_us", cpu.burst));
    writes.push(...realtimeWrites(cpu, current !== undefined));
    return writes;
  },
};

/** As with the quota, the one that stands may forbid the other's new value. */
function realtimeWrites({ realtimePeriod, realtimeRuntime }: NonNullable<OciResources["cpu"]>, updating: boolean): CgroupWrite[] {
  const period = write("cpu.rt_period_us", realtimePeriod || undefined);
  const runtime = write("cpu.rt_runtime_us", realtimeRuntime || undefined);
  return updating && period[0] !== undefined && runtime.length > 0 ? [{ ...period[0], optional: ["EINVAL"] }, ...runtime, ...period] : [...period, ...runtime];
}
