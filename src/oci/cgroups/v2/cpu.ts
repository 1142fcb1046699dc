import type { Controller, CgroupWrite } from "../controller.ts";
import { unsupported, write } from "../controller.ts";

/** Documentation/admin-guide/cgroup-v2.rst, "CPU Interface Files". */
export const cpu: Controller = {
  name: "cpu",
  field: "cpu",
  writes({ cpu = {} }, { current }) {
    if (cpu.realtimePeriod) unsupported("cpu.realtimePeriod", "cgroup v2 has no realtime scheduling limits");
    if (cpu.realtimeRuntime) unsupported("cpu.realtimeRuntime", "cgroup v2 has no realtime scheduling limits");
    const writes: CgroupWrite[] = [...write("cpu.weight", weightOfShares(cpu.shares)), ...write("cpu.idle", cpu.idle)];
    if (current !== undefined && cpu.burst !== undefined && cpu.quota !== undefined) writes.push({ file: "cpu.max.burst", data: "0", optional: ["ENOENT"] });
    writes.push(...write("cpu.max", maxOf(cpu, current?.("cpu.max"))), ...write("cpu.max.burst", cpu.burst));
    return writes;
  },
};

/** cpu.shares (2 to 262144, default 1024) on the scale of cpu.weight (1 to 10000, default 100), so that the defaults, and
 *  both ends, meet: the quadratic in log2(shares) that runc and crun use. */
export function weightOfShares(shares: number | undefined): number | undefined {
  if (!shares) return undefined;
  if (shares <= 2) return 1;
  if (shares >= 262_144) return 10_000;
  const log = Math.log2(shares);
  return Math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34));
}

/** "QUOTA PERIOD"; what is not asked for stays as it is. */
function maxOf({ quota, period }: { quota?: number; period?: number }, current: string | undefined): string | undefined {
  if (!quota && !period) return undefined;
  const [quotaNow = "max", periodNow = "100000"] = current?.trim().split(" ") ?? [];
  const newQuota = quota ? (quota > 0 ? String(quota) : "max") : quotaNow;
  return `${newQuota} ${period || periodNow}`;
}
