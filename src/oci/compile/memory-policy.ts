import { invalidParameter } from "../../lib/errors.ts";
import { lookup } from "../../lib/lookup.ts";
import type { OciLinux } from "../../lib/oci-spec.ts";
import type { ExecStep } from "../plan/types.ts";

/** include/uapi/linux/mempolicy.h */
export const memoryPolicyModes: Readonly<Record<string, number>> = { MPOL_DEFAULT: 0, MPOL_PREFERRED: 1, MPOL_BIND: 2, MPOL_INTERLEAVE: 3, MPOL_LOCAL: 4, MPOL_PREFERRED_MANY: 5, MPOL_WEIGHTED_INTERLEAVE: 6 };
export const memoryPolicyFlags: Readonly<Record<string, number>> = { MPOL_F_NUMA_BALANCING: 1 << 13, MPOL_F_RELATIVE_NODES: 1 << 14, MPOL_F_STATIC_NODES: 1 << 15 };

/** Of the mask that the kernel gets: native/shim/plan.h. */
const maximumNodes = 1024;

const withoutNodes = new Set(["MPOL_DEFAULT", "MPOL_LOCAL"]);

export function compileMemoryPolicy(policy: OciLinux["memoryPolicy"]): ExecStep["memoryPolicy"] {
  if (policy === undefined || policy === null) return undefined;
  const where = "linux.memoryPolicy";
  const mode = lookup(memoryPolicyModes, policy.mode);
  if (mode === undefined) throw invalidParameter(`${where}.mode: invalid memory policy mode ${JSON.stringify(policy.mode)}`);
  const flags = (policy.flags ?? []).reduce((sum, name, index) => {
    const flag = lookup(memoryPolicyFlags, name);
    if (flag === undefined) throw invalidParameter(`${where}.flags[${index}]: invalid memory policy flag ${JSON.stringify(name)}`);
    return sum | flag;
  }, 0);
  const nodes = parseNodes(policy.nodes ?? "");
  if (withoutNodes.has(policy.mode) && nodes.size > 0) throw invalidParameter(`${where}.nodes: memory policy mode requires 0 nodes but got ${nodes.size}`);
  if (!withoutNodes.has(policy.mode) && policy.mode !== "MPOL_PREFERRED" && nodes.size === 0) throw invalidParameter(`${where}.nodes: memory policy mode requires at least one node but got 0`);
  return { mode: mode | flags, nodes: maskOf(nodes) };
}

function parseNodes(list: string): Set<number> {
  const nodes = new Set<number>();
  for (const part of list.split(",").map((text) => text.trim())) {
    if (part === "") continue;
    const match = /^(\d+)(?:-(\d+))?$/.exec(part);
    const [first, last] = match === null ? [1, 0] : [Number(match[1]), Number(match[2] ?? match[1])];
    if (first > last || last >= maximumNodes) throw invalidParameter(`linux.memoryPolicy.nodes: invalid memory policy nodes ${JSON.stringify(list)}: ${JSON.stringify(part)} is not a node or a range of nodes below ${maximumNodes}`);
    for (let node = first; node <= last; node++) nodes.add(node);
  }
  return nodes;
}

/** Bit n of a mask of unsigned longs, on the little-endian machines that this runs on. */
function maskOf(nodes: ReadonlySet<number>): Uint8Array {
  const bytes = new Uint8Array(nodes.size === 0 ? 0 : (Math.floor(Math.max(...nodes) / 64) + 1) * 8);
  for (const node of nodes) bytes[node >> 3]! |= 1 << (node & 7);
  return bytes;
}
