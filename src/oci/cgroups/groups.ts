/** Which folders make up one container's cgroup: one below each hierarchy that containers join. */
import { posix } from "node:path";
import { invalidParameter } from "../../lib/errors.ts";
import type { CgroupHierarchy, CgroupLayout } from "./layout.ts";

export interface CgroupGroup {
  hierarchy: CgroupHierarchy;
  /** The folder, as a path of the host. */
  path: string;
  /** The same, relative to the hierarchy's mount point, starting with a slash. */
  relative: string;
}

/**
 * Linux.cgroupsPath: absolute, it starts at each hierarchy's mount point; relative, at this process's own group; absent, the
 * container's id is a relative path (runtime-spec, "Cgroups Path").
 */
export function containerGroups(layout: CgroupLayout, cgroupsPath: string | undefined, id: string): CgroupGroup[] {
  const asked = cgroupsPath === undefined || cgroupsPath === "" ? id : cgroupsPath;
  if (asked.includes("\0") || asked.split("/").includes("..")) throw invalidParameter(`linux.cgroupsPath ${JSON.stringify(asked)} must not contain ".." or NUL`);
  return layout.hierarchies.filter(isJoined).map((hierarchy) => {
    const relative = posix.normalize(posix.join("/", asked.startsWith("/") ? "" : hierarchy.ownPath, asked)).replace(/\/$/, "");
    if (relative === "") throw invalidParameter(`linux.cgroupsPath ${JSON.stringify(asked)} is the root of the hierarchy, a container needs a group of its own`);
    return { hierarchy, relative, path: hierarchy.mountpoint + relative };
  });
}

/** Named v1 hierarchies other than systemd's belong to whoever mounted them. */
const isJoined = ({ version, controllers }: CgroupHierarchy): boolean => version === 2 || !controllers[0]?.startsWith("name=") || controllers[0] === "name=systemd";

/** The folder in whose hierarchy a controller is; undefined when the machine does not have it. */
export function groupOf(groups: CgroupGroup[], controller: string): CgroupGroup | undefined {
  return groups.find(({ hierarchy }) => hierarchy.controllers.includes(controller));
}

/** Where every process of the container is listed; the pids controller's group if there, else any. */
export function processesPath(groups: CgroupGroup[]): string | undefined {
  const group = groups.find(({ hierarchy }) => hierarchy.version === 2) ?? groupOf(groups, "pids") ?? groups[0];
  return group && `${group.path}/cgroup.procs`;
}

/** The file that freezes the container and the values for it: v2's cgroup.freeze, or the v1 freezer, whose state settles asynchronously. */
export function freezerFile(groups: CgroupGroup[]): { path: string; freeze: string; thaw: string; frozen: string; state: string } | undefined {
  const v1 = groupOf(groups, "freezer");
  if (v1 !== undefined) return { path: `${v1.path}/freezer.state`, freeze: "FROZEN", thaw: "THAWED", frozen: "FROZEN", state: `${v1.path}/freezer.state` };
  const v2 = groups.find(({ hierarchy }) => hierarchy.version === 2);
  if (v2 !== undefined) return { path: `${v2.path}/cgroup.freeze`, freeze: "1", thaw: "0", frozen: "frozen 1", state: `${v2.path}/cgroup.events` };
  return undefined;
}
