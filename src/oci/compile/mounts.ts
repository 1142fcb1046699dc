/** The mounts of a configuration as child ops, in the configuration's order. */
import { posix } from "node:path";
import { invalidParameter } from "../../lib/errors.ts";
import type { OciIdMapping, OciMount } from "../../lib/oci-spec.ts";
import type { CgroupGroup } from "../cgroups/groups.ts";
import type { CgroupHierarchy } from "../cgroups/layout.ts";
import type { ChildOp } from "../plan/types.ts";
import { idMapText } from "./id-maps.ts";
import type { MountOptions } from "./mount-options.ts";
import { attribute, parseMountOptions } from "./mount-options.ts";

export interface MountContext {
  groups: CgroupGroup[];
  /** The container has a cgroup namespace of its own. */
  ownCgroupNamespace: boolean;
  /** Relative bind sources start here. */
  bundle: string | undefined;
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
  return { ops: mounts.map((mount, index) => mountOp(mount, index, context, late)), late };
}

function mountOp(mount: OciMount, index: number, context: MountContext, late: ChildOp[]): ChildOp {
  const where = `mounts[${index}] (${mount.destination})`;
  const target = posix.resolve("/", mount.destination);
  if (mount.destination === "" || mount.destination.includes("\0")) throw invalidParameter(`mounts[${index}].destination ${JSON.stringify(mount.destination)} is not a path`);
  const options = parseMountOptions(mount.options ?? [], where, mount.type);
  if (mount.type === "bind" || options.bind !== "none") return bindOp(mount, target, options, { ...context, where });
  if (mount.type === undefined || mount.type === "" || mount.type === "none") throw invalidParameter(`${where}.type is missing, and no option makes it a bind mount`);
  if (options.idmap !== "none" || mount.uidMappings !== undefined || mount.gidMappings !== undefined) throw invalidParameter(`${where}: id-mapped mounts must be bind mounts`);
  if (target === "/") throw invalidParameter(`${where}: the root file system cannot be mounted over`);
  if (mount.type === "cgroup") return cgroupOp(target, options, { ...context, where });
  const filled = mount.type === "tmpfs" || target === "/dev";
  if (filled && options.attributes.set & attribute.readonly) {
    options.attributes.set &= ~attribute.readonly;
    late.push({ op: "setAttributes", target, attributes: { set: attribute.readonly, clear: 0n, recursiveSet: 0n, recursiveClear: 0n } });
  }
  return fileSystemOp(mount, target, options);
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
  const attributes = { ...options.attributes };
  if (idmap !== undefined) {
    if (options.idmap === "ridmap") attributes.recursiveSet |= attribute.idmap;
    else attributes.set |= attribute.idmap;
  }
  return {
    op: "bind",
    source: posix.resolve(context.bundle ?? "/", mount.source),
    target,
    recursive: options.bind !== "bind",
    attributes,
    create: "like-source",
    ...(options.propagation.length > 0 && { propagation: options.propagation }),
    ...(idmap && { idmap }),
  };
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
