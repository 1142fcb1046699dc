import type { OciResources } from "../../../lib/oci-spec.ts";
import { invalidParameter } from "../../../lib/errors.ts";
import type { CgroupWrite, Controller, ControllerContext } from "../controller.ts";
import { unsupported, write } from "../controller.ts";

type Memory = NonNullable<OciResources["memory"]>;

/** Documentation/admin-guide/cgroup-v1/memory.rst: memory.limit_in_bytes must never be above memory.memsw.limit_in_bytes. */
export const memory: Controller = {
  name: "memory",
  field: "memory",
  writes({ memory = {} }, context) {
    if (memory.kernel) unsupported("memory.kernel", "the kernel has no separate limit of kernel memory any more");
    if (memory.useHierarchy === false) unsupported("memory.useHierarchy", "the kernel always accounts hierarchically");
    return [
      ...limits(memory, context),
      ...write("memory.soft_limit_in_bytes", memory.reservation || undefined),
      ...write("memory.kmem.tcp.limit_in_bytes", memory.kernelTCP || undefined),
      ...write("memory.oom_control", memory.disableOOMKiller ? 1 : undefined),
      ...write("memory.swappiness", swappiness(memory.swappiness)),
    ];
  },
};

function limits(memory: Memory, { files, current }: ControllerContext): CgroupWrite[] {
  const limit = memory.limit || undefined;
  const swap = memory.swap || (limit === -1 && files.has(swapFile) ? -1 : undefined);
  if (swap !== undefined && swap !== -1 && !files.has(swapFile)) unsupported("memory.swap", "this kernel does not account swap (swapaccount=1)");
  const limitWrite = write("memory.limit_in_bytes", limit);
  const swapWrite = write(swapFile, swap !== undefined && files.has(swapFile) ? swap : undefined);
  return raisesSwap(swap, current) ? [...swapWrite, ...limitWrite] : [...limitWrite, ...swapWrite];
}

const swapFile = "memory.memsw.limit_in_bytes";

/** A new group starts without limits, so there the lower one comes first; else it depends on what stands. */
function raisesSwap(swap: number | undefined, current: ControllerContext["current"]): boolean {
  if (swap === undefined || current === undefined) return false;
  return swap === -1 || Number(current("memory.limit_in_bytes") ?? 0) < swap;
}

function swappiness(value: number | undefined): number | undefined {
  if (value !== undefined && (value < 0 || value > 100)) throw invalidParameter(`linux.resources.memory.swappiness ${value} is not from 0 to 100`);
  return value;
}
