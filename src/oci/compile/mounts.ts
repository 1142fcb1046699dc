/** The mounts of a configuration as child ops, in the configuration's order. */
import { posix } from "node:path";
import { invalidParameter } from "../../lib/errors.ts";
import type { OciIdMapping, OciMount } from "../../lib/oci-spec.ts";
import type { CgroupGroup } from "../cgroups/groups.ts";
import type { CgroupHierarchy } from "../cgroups/layout.ts";
import type { ChildOp, MountAttributes } from "../plan/types.ts";
import { idMapText } from "./id-maps.ts";
import type { MountOptions } from "./mount-options.ts";
import { attribute, parseMountOptions } from "./mount-options.ts";
import { checkProcMount } from "./proc-mounts.ts";

export interface MountContext {
  groups: CgroupGroup[];
  /** The container has a cgroup namespace of its own. */
  ownCgroupNamespace: boolean;
  /** Relative bind sources start here. */
  bundle: string | undefined;
  /** The container has a user namespace that is not this process's. */
  ownUserNamespace: boolean;
  /** Paths of the host where an earlier mount lies, seen from inside the container's mount namespace: a source there is that
   *  mount's. Without a root of a known path, none. */
  covered: string[];
  /** Where the root file system will be seen in the container's mount namespace, as a path of the host. */
  rootPath: string | undefined;
  /** The container's own id maps, for `idmap` without maps of its own. */
  uidMappings: OciIdMapping[] | undefined;
  gidMappings: OciIdMapping[] | undefined;
  warn: (message: string) => void;
}

/** File systems whose superblock is shared or generated: read-only concerns the mount alone. */
const readonlyByMountOnly = new Set(["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "ramfs", "devtmpfs", "securityfs", "debugfs", "tracefs"]);

/** `late` has to follow everything that is put into mounts: a tmpfs is read-only only when it is filled. */
export function mountOps(mounts: readonly OciMount[], context: MountContext): { ops: ChildOp[]; late: ChildOp[] } {
  const late: ChildOp[] = [];
  const ops = mounts.map((mount, index) => {
    const op = mountOp(mount, index, context, late);
    if (context.rootPath !== undefined && "target" in op) context.covered.push(posix.join(context.rootPath, op.target));
    return op;
  });
  return { ops, late };
}

function mountOp(mount: OciMount, index: number, context: MountContext, late: ChildOp[]): ChildOp {
  const where = `mounts[${index}] (${mount.destination})`;
  const target = targetOf(mount.destination, context.rootPath);
  if (mount.destination === "" || mount.destination.includes("\0")) throw invalidParameter(`mounts[${index}].destination ${JSON.stringify(mount.destination)} is not a path`);
  const options = parseMountOptions(mount.options ?? [], where, mount.type);
  if (mount.type === "bind" || options.bind !== "none") return bindOp(mount, target, options, { ...context, where });
  if (mount.type === undefined || mount.type === "" || mount.type === "none") throw invalidParameter(`${where}.type is missing, and no option makes it a bind mount`);
  if (options.idmap !== "none" || mount.uidMappings !== undefined || mount.gidMappings !== undefined) throw invalidParameter(`${where}: id-mapped mounts must be bind mounts`);
  if (target === "/") throw invalidParameter(`${where}: the root file system cannot be mounted over`);
  checkProcMount(where, target, { type: mount.type });
  if (mount.type === "cgroup") return cgroupOp(target, options, { ...context, where });
  const filled = mount.type === "tmpfs" || target === "/dev";
  if (filled && options.attributes.set & attribute.readonly) {
    options.attributes.set &= ~attribute.readonly;
    late.push({ op: "setAttributes", target, attributes: { set: attribute.readonly, clear: 0n, recursiveSet: 0n, recursiveClear: 0n } });
  }
  return fileSystemOp(mount, target, options);
}

/** As runc has it, a destination that starts with the root file system's own path is below the root. */
function targetOf(destination: string, rootPath: string | undefined): string {
  const target = posix.resolve("/", destination);
  return rootPath !== undefined && rootPath !== "/" && target.startsWith(`${rootPath}/`) ? target.slice(rootPath.length) : target;
}

function fileSystemOp(mount: OciMount, target: string, options: MountOptions): ChildOp {
  const fstype = mount.type!;
  const data: [string, string | null][] = [...options.superblock, ...options.data];
  if (options.attributes.set & attribute.readonly && !readonlyByMountOnly.has(fstype)) data.push(["ro", null]);
  const [propagation, ...more] = options.propagation;
  if (more.length > 0) throw invalidParameter(`mount ${mount.destination}: more than one propagation option`);
  return {
    op: "mount",
    fstype,
    source: mount.source || fstype,
    target,
    options: data,
    attributes: options.attributes,
    create: "dir",
    ...(propagation && { propagation }),
    ...(options.copyUp && { copyUp: true }),
    ...((fstype === "proc" || fstype === "sysfs") && { noLinks: true }),
    ...(fstype === "tmpfs" && !data.some(([key]) => key === "mode") && { inheritMode: true }),
  };
}

function bindOp(mount: OciMount, target: string, options: MountOptions, context: MountContext & { where: string }): ChildOp {
  const { where } = context;
  if (mount.source === undefined || mount.source === "") throw invalidParameter(`${where}.source is missing, a bind mount needs one`);
  if (mount.source.includes("\0")) throw invalidParameter(`${where}.source contains NUL`);
  if (!mount.source.startsWith("/") && context.bundle === undefined) throw invalidParameter(`${where}.source ${JSON.stringify(mount.source)} is not an absolute path`);
  const [data] = options.data;
  if (data !== undefined) throw invalidParameter(`${where}: option ${JSON.stringify(data[0])} belongs to a file system, a bind mount cannot have it`);
  for (const [flag] of options.superblock) context.warn(`${where}: option ${flag} has no effect on a bind mount`);
  const idmap = idmapOf(mount, options, context);
  const source = posix.resolve(context.bundle ?? "/", mount.source);
  checkProcMount(where, target, { source });
  return {
    op: "bind",
    source,
    target,
    recursive: options.bind !== "bind",
    attributes: bindAttributes(options, context.ownUserNamespace),
    create: "like-source",
    ...(options.propagation.length > 0 && { propagation: options.propagation }),
    ...(idmap && { idmap: { ...idmap, recursive: options.idmap === "ridmap" } }),
    ...(context.ownUserNamespace && { keepLocked: true }),
    ...(context.covered.some((path) => source === path || source.startsWith(`${path}/`)) && { afterMounts: true }),
  };
}

/** What a user namespace may not clear again: mount_namespaces(7). */
const lockable = attribute.readonly | attribute.nosuid | attribute.nodev | attribute.noexec;

/**
 * A bind mount without any such option has its source's attributes. With one it has what the options say and nothing else,
 * but for the access time, which stays without an option that sets it. In a user namespace the lockable ones stay, too.
 */
function bindAttributes({ attributes, said, setsAccessTime }: MountOptions, ownUserNamespace: boolean): MountAttributes {
  if (!said) return attributes;
  const replaced = (ownUserNamespace ? 0n : lockable) | attribute.nosymfollow | (setsAccessTime ? attribute.nodiratime | attribute.atimeMask : 0n);
  const explicit = attributes.clear & (lockable | attribute.nosymfollow);
  const clear = (explicit | replaced) & ~attributes.set;
  return { ...attributes, clear: setsAccessTime ? clear | attribute.atimeMask : clear };
}

function idmapOf(mount: OciMount, options: MountOptions, { uidMappings, gidMappings, where }: MountContext & { where: string }): { uid: string; gid: string } | undefined {
  const own = mount.uidMappings !== undefined || mount.gidMappings !== undefined;
  if (options.idmap === "none" && !own) return undefined;
  const uid = own ? mount.uidMappings : uidMappings;
  const gid = own ? mount.gidMappings : gidMappings;
  if (!uid?.length || !gid?.length) throw invalidParameter(`${where}: an id-mapped mount needs both uidMappings and gidMappings`);
  return { uid: idMapText(uid, `${where}.uidMappings`), gid: idMapText(gid, `${where}.gidMappings`) };
}

function cgroupOp(target: string, options: MountOptions, { groups, ownCgroupNamespace, where }: MountContext & { where: string }): ChildOp {
  const [data] = options.data;
  if (data !== undefined) throw invalidParameter(`${where}: unknown option ${JSON.stringify(data[0])} of a cgroup mount`);
  // Without groups of its own it may look at what there is.
  if (groups.length === 0) return { op: "bind", source: "/sys/fs/cgroup", target, recursive: true, attributes: options.attributes, create: "like-source" };
  const v1 = groups.filter(({ hierarchy }) => hierarchy.version === 1);
  const shown = v1.length > 0 ? v1 : groups;
  return {
    op: "cgroupMount",
    target,
    unified: v1.length === 0,
    hierarchies: shown.map(({ hierarchy, path }) => ({ ...hierarchyNames(hierarchy), hostPath: ownCgroupNamespace ? "" : path })),
    readonly: (options.attributes.set & attribute.readonly) !== 0n,
    attributes: options.attributes,
  };
}

/** The folder's name below /sys/fs/cgroup, the mount's option, and the names that lead to it (cpu -> cpu,cpuacct). */
function hierarchyNames({ mountpoint, controllers, version }: CgroupHierarchy): { name: string; controllers: string; links: string[] } {
  const name = posix.basename(mountpoint);
  if (version === 2) return { name, controllers: "", links: [] };
  const named = controllers.find((controller) => controller.startsWith("name="));
  if (named !== undefined) return { name, controllers: `none,${named}`, links: [] };
  return { name, controllers: controllers.join(","), links: controllers.filter((controller) => controller !== name && controllers.length > 1) };
}
