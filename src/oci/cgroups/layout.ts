/**
 * How this machine's cgroups are mounted, as data.
 *
 *   v1      every controller in a hierarchy of its own or with others (cpu,cpuacct), and name=systemd
 *   v2      one cgroup2 mount with every controller
 *   hybrid  v1, and beside it a cgroup2 mount (usually /sys/fs/cgroup/unified) with the rest of the controllers, or none
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface CgroupHierarchy {
  version: 1 | 2;
  mountpoint: string;
  /** v1: as in the mount's options, "cpu" or "name=systemd"; v2: cgroup.controllers of the mount. */
  controllers: string[];
  /** Where this process is, below the mount point, starting with a slash. */
  ownPath: string;
  /** The highest group whose controllers may be handed down, where that is not the root. */
  delegated?: string;
}

export interface CgroupLayout {
  mode: "v1" | "v2" | "hybrid" | "none";
  hierarchies: CgroupHierarchy[];
  /** Interface files whose presence depends on the kernel's configuration, such as "memory.memsw.limit_in_bytes". */
  files: ReadonlySet<string>;
}

/** Text of /proc/self/mountinfo and /proc/self/cgroup, and what only the file systems themselves tell. */
export interface LayoutSource {
  mountinfo: string;
  cgroup: string;
  /** cgroup.controllers of a cgroup2 mount. */
  controllersOf(mountpoint: string): string[];
  /** File names in the root folder of a hierarchy; also of one group in it (the root lacks some of v1's and most of v2's). */
  filesOf(mountpoint: string, version: 1 | 2): string[];
}

export function parseLayout(source: LayoutSource): CgroupLayout {
  const own = parseOwnCgroups(source.cgroup);
  const hierarchies: CgroupHierarchy[] = [];
  for (const mount of parseCgroupMounts(source.mountinfo)) {
    const controllers = mount.version === 1 ? mount.controllers : source.controllersOf(mount.mountpoint);
    const key = mount.version === 2 ? "" : (controllers[0] ?? "");
    if (hierarchies.some((other) => other.version === mount.version && other.controllers.join() === controllers.join())) continue;
    hierarchies.push({ version: mount.version, mountpoint: mount.mountpoint, controllers, ownPath: belowMount(own.get(key) ?? "/", mount.root) });
  }
  const files = new Set(hierarchies.flatMap((hierarchy) => source.filesOf(hierarchy.mountpoint, hierarchy.version)));
  return { mode: modeOf(hierarchies), hierarchies, files };
}

/** `proc`: of the process that ownPath is about. */
export function detectLayout(proc = "/proc/self"): CgroupLayout {
  return parseLayout({
    mountinfo: readFileSync("/proc/self/mountinfo", "utf8"),
    cgroup: readFileSync(`${proc}/cgroup`, "utf8"),
    controllersOf: (mountpoint) => words(readFileSync(join(mountpoint, "cgroup.controllers"), "utf8")),
    filesOf: interfaceFiles,
  });
}

function interfaceFiles(mountpoint: string, version: 1 | 2): string[] {
  const entries = readdirSync(mountpoint, { withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
  // In v1 that concerns only the weights of the bfq scheduler.
  if (version === 1 && !files.includes("blkio.reset_stats")) return files;
  const groups = entries.filter((entry) => entry.isDirectory());
  return [...files, ...firstReadable(groups.map(({ name }) => join(mountpoint, name)))];
}

/** A group may go at any time. */
function firstReadable(folders: readonly string[]): string[] {
  for (const folder of folders) {
    try {
      return readdirSync(folder);
    } catch {}
  }
  return [];
}

interface CgroupMount {
  version: 1 | 2;
  root: string;
  mountpoint: string;
  controllers: string[];
}

/** proc(5): "ID parent major:minor root mountpoint options [tags] - type source super-options". */
function parseCgroupMounts(mountinfo: string): CgroupMount[] {
  const mounts: CgroupMount[] = [];
  for (const line of mountinfo.split("\n")) {
    const [before = "", after = ""] = line.split(" - ");
    const fields = before.split(" ");
    const [type, , superOptions = ""] = after.split(" ");
    if (type !== "cgroup" && type !== "cgroup2") continue;
    const controllers = superOptions.split(",").filter((option) => isController(option));
    mounts.push({ version: type === "cgroup" ? 1 : 2, root: unescape(fields[3] ?? "/"), mountpoint: unescape(fields[4] ?? "/"), controllers });
  }
  return mounts;
}

/** Options of a cgroup mount that are not a controller's name (kernel/cgroup/cgroup-v1.c). */
const notControllers = new Set(["rw", "ro", "noprefix", "clone_children", "xattr", "cpuset_v2_mode", "favordynmods", "seclabel", "none", "all", "relatime"]);
const isController = (option: string): boolean => option !== "" && !notControllers.has(option) && !option.startsWith("release_agent=");

/** cgroups(7): "id:controllers:path"; the v2 line has id 0 and no controllers, its key is "". */
function parseOwnCgroups(text: string): Map<string, string> {
  const own = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^\d+:([^:]*):(.*)$/.exec(line);
    if (match === null) continue;
    for (const controller of match[1]!.split(",")) own.set(controller, match[2]!);
  }
  return own;
}

/** A group's path relative to what is mounted, when the mount shows only a subtree (a container without its own cgroup namespace). */
function belowMount(path: string, root: string): string {
  if (root === "/") return path;
  if (path === root) return "/";
  return path.startsWith(`${root}/`) ? path.slice(root.length) : "/";
}

function modeOf(hierarchies: CgroupHierarchy[]): CgroupLayout["mode"] {
  const v1 = hierarchies.some((hierarchy) => hierarchy.version === 1);
  const v2 = hierarchies.some((hierarchy) => hierarchy.version === 2);
  if (v1) return v2 ? "hybrid" : "v1";
  return v2 ? "v2" : "none";
}

const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== "");
const unescape = (text: string): string => text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
