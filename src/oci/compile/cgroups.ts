/** Making a container's groups and setting their limits, before anything runs in them. */
import { posix } from "node:path";
import type { OciResources } from "../../lib/oci-spec.ts";
import type { CgroupGroup } from "../cgroups/groups.ts";
import { newGroupWrites } from "../cgroups/resources.ts";
import type { HostOp } from "../plan/types.ts";

/** Device rules are root's alone to set; `rootless`: there are none. */
export function cgroupOps(groups: CgroupGroup[], resources: OciResources, { files, rootless }: { files: ReadonlySet<string>; rootless: boolean }): HostOp[] {
  const writes = newGroupWrites(groups, resources, files).filter(({ kind, path }) => !rootless || (kind !== "deviceProgram" && !/\/devices\.(allow|deny)$/.test(path)));
  const v2 = groups.find(({ hierarchy }) => hierarchy.version === 2);
  const needsV2Controllers = v2 !== undefined && (groups.length === 1 || writes.some(({ path }) => path.startsWith(`${v2.path}/`)));
  return [
    ...groups.map(({ path, hierarchy }): HostOp => ({ op: "cgroupMkdir", path, ...(hierarchy.version === 1 && hierarchy.controllers.includes("cpuset") && { copyCpuset: true }) })),
    ...(needsV2Controllers ? delegation(v2) : []),
    ...writes.map((write): HostOp =>
      write.kind === "deviceProgram"
        ? { op: "cgroupDeviceProgram", path: write.path, program: write.program }
        : { op: "writeFile", path: write.path, data: write.data, ...(write.optional && { optional: write.optional }) },
    ),
  ];
}

/** cgroup-v2.rst, "Top-down Constraint": a group has a controller's files only if every group above it hands the controller down. */
function delegation({ hierarchy, relative }: CgroupGroup): HostOp[] {
  if (hierarchy.controllers.length === 0 || hierarchy.delegated === relative) return [];
  const data = hierarchy.controllers.map((controller) => `+${controller}`).join(" ");
  const parents: string[] = [];
  for (let parent = posix.dirname(relative); ; parent = posix.dirname(parent)) {
    parents.unshift(parent);
    if (parent === "/" || parent === hierarchy.delegated) break;
  }
  return parents.map((parent) => ({ op: "writeFile", path: posix.join(hierarchy.mountpoint, parent, "cgroup.subtree_control"), data }));
}
