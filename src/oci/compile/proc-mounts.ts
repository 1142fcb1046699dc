/** What may be mounted over /proc, and in it: programs read there what the kernel says of them. As runc has it. */
import { statfsSync } from "node:fs";
import { systemError } from "../../lib/errors.ts";

/** linux/magic.h: PROC_SUPER_MAGIC. */
const PROC_TYPE = 0x9fa0;
/** What lxcfs tells in the kernel's place. */
const emulated = new Set(["cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo", "sys/kernel/ns_last_pid", "sys/crypto/fips_enabled"]);

/** Throws "system" for a mount that would stand in the way. `where`: its place in the configuration; `mounted`: the file system's type, or the source of a bind mount. */
export function checkProcMount(where: string, target: string, mounted: { type: string } | { source: string }): void {
  if (target === "/proc" && !("type" in mounted ? mounted.type === "proc" : isProc(mounted.source))) throw systemError(`${where}: ${JSON.stringify(target)} cannot be mounted because it is not of type proc`);
  if (target.startsWith("/proc/") && !emulated.has(target.slice("/proc/".length))) throw systemError(`${where}: ${JSON.stringify(target)} cannot be mounted because it is inside /proc`);
}

function isProc(source: string): boolean {
  try {
    return statfsSync(source).type === PROC_TYPE;
  } catch {
    // Whoever mounts it says what is wrong with it.
    return true;
  }
}
