import type { OciResources } from "../../../lib/oci-spec.ts";
import { invalidParameter } from "../../../lib/errors.ts";
import type { Controller } from "../controller.ts";
import { unsupported, write } from "../controller.ts";

type Memory = NonNullable<OciResources["memory"]>;

/** Documentation/admin-guide/cgroup-v2.rst, "Memory Interface Files". The specification's swap is memory plus swap, v2's is swap alone. */
export const memory: Controller = {
  name: "memory",
  field: "memory",
  writes({ memory = {} }, { current }) {
    if (memory.kernel) unsupported("memory.kernel", "the kernel has no separate limit of kernel memory any more");
    if (memory.kernelTCP) unsupported("memory.kernelTCP", "cgroup v2 has no limit of TCP buffers");
    if (memory.swappiness !== undefined) unsupported("memory.swappiness", "cgroup v2 has no swappiness of a group");
    if (memory.disableOOMKiller) unsupported("memory.disableOOMKiller", "cgroup v2 cannot switch the OOM killer off");
    if (memory.useHierarchy === false) unsupported("memory.useHierarchy", "the kernel always accounts hierarchically");
    checkUsage(memory, current?.("memory.current"));
    return [...write("memory.swap.max", swapMax(memory)), ...write("memory.max", orMax(memory.limit)), ...write("memory.low", orMax(memory.reservation))];
  },
};

const orMax = (value: number | undefined): string | undefined => (!value ? undefined : value < 0 ? "max" : String(value));

export function swapMax({ limit, swap }: Memory): string | undefined {
  if (limit === -1 && !swap) return "max";
  if (!swap) return undefined;
  if (swap < 0) return "max";
  if (!limit || limit < 0) throw invalidParameter("linux.resources.memory.swap needs linux.resources.memory.limit");
  if (swap < limit) throw invalidParameter(`linux.resources.memory.swap ${swap} is below linux.resources.memory.limit ${limit}`);
  return String(swap - limit);
}

function checkUsage({ checkBeforeUpdate, limit }: Memory, usage: string | undefined): void {
  if (checkBeforeUpdate && limit && limit > 0 && usage !== undefined && Number(usage) > limit)
    throw invalidParameter(`linux.resources.memory.limit ${limit} is below what the container uses now, ${usage.trim()}`);
}
