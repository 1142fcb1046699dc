/** Containers of ordinary users: in a user namespace of theirs, with the cgroups that they may make, or none. */
import { accessSync, constants, existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { invalidParameter } from "../../lib/errors.ts";
import type { OciSpec } from "../../lib/oci-spec.ts";
import { asksFor } from "../cgroups/controller.ts";
import type { CgroupGroup } from "../cgroups/groups.ts";
import { containerGroups } from "../cgroups/groups.ts";
import type { CompileOptions } from "../compile/compile.ts";
import type { HostFacts } from "../host.ts";
import { detectHost } from "../host.ts";

export const isRootless = (): boolean => process.geteuid!() !== 0;

export const defaultRoot = (): string => (isRootless() ? join(process.env["XDG_RUNTIME_DIR"] ?? `/run/user/${process.geteuid!()}`, "gantry-runtime") : "/run/gantry-runtime");

export const rootlessOf = (): Pick<CompileOptions, "rootless"> => (isRootless() ? { rootless: { uid: process.geteuid!(), gid: process.getegid!() } } : {});

/** The machine as the caller may use it: for an ordinary user without the hierarchies in which it may make no groups. */
export function usableHost(proc: string, { linux }: OciSpec, id: string): HostFacts {
  const host = detectHost(proc);
  if (!isRootless()) return host;
  const hierarchies = containerGroups(host.cgroups, linux?.cgroupsPath, id).filter(({ path }) => mayMake(path)).map((group) => ({ ...group.hierarchy, delegated: delegatedAbove(group) }));
  const { devices: _, ...limits } = linux?.resources ?? {};
  if (hierarchies.length < host.cgroups.hierarchies.length && asksFor(limits)) throw invalidParameter("linux.resources: this user may not make the cgroups that limits need");
  return { ...host, cgroups: { ...host.cgroups, hierarchies } };
}

/** The highest group above whose controllers this user may hand down. */
function delegatedAbove({ hierarchy: { mountpoint }, path }: CgroupGroup): string {
  let highest = path;
  for (let parent = dirname(path); parent.length > mountpoint.length; parent = dirname(parent)) {
    if (!existsSync(parent)) continue;
    if (!mayWrite(join(parent, "cgroup.subtree_control"))) break;
    highest = parent;
  }
  return highest.slice(mountpoint.length);
}

function mayMake(path: string): boolean {
  const parent = dirname(path);
  return existsSync(parent) ? mayWrite(parent) : mayMake(parent);
}

function mayWrite(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
