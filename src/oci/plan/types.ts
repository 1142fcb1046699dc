/**
 * The plan: what a container's start does to the kernel, as plain data. src/oci/compile makes it from an OCI configuration,
 * `gantry-runtime plan` prints it, encode.ts turns it into bytes and native/shim executes it, op by op, stopping at the
 * first failure with the op's index, the errno and the subject.
 *
 *   host ops     in the shim, host namespaces: cgroup folders and limits
 *   clone        clone3 with `namespaces` of kind "new"; "join" ones are entered by setns first
 *   parent ops   in the shim, after clone: id maps, oom score
 *   child ops    in the new process: join cgroups, root file system, mounts, pivot, hostname, sysctls, masks
 *   (ready; waits for start)
 *   exec         in the new process: limits, user, capabilities, seccomp, execve
 *
 * Paths in child ops before "pivotRoot" named `target` are inside the new root and are resolved with openat2
 * RESOLVE_IN_ROOT (no magic links), created when missing as `create` says; `source` paths are the host's.
 */
export interface Plan {
  namespaces: PlanNamespace[];
  host: HostOp[];
  parent: ParentOp[];
  child: ChildOp[];
  exec: ExecStep;
  /** Undone by the shim after the task's last process, in this order, also after a failure. */
  teardown: TeardownOp[];
}

export type NamespaceType = "pid" | "network" | "mount" | "ipc" | "uts" | "user" | "cgroup" | "time";

export type PlanNamespace =
  | { type: NamespaceType; kind: "new" }
  | { type: NamespaceType; kind: "join"; path: string }
  /** An fd that travels with the plan, by its position among the message's plan fds. Of a user namespace: that of a namespace which it owns. */
  | { type: NamespaceType; kind: "joinFd"; index: number };

export type HostOp =
  /** mkdir -p of a cgroup; `copyCpuset`: fill cpuset.cpus and cpuset.mems from the parent for each level made (v1). */
  | { op: "cgroupMkdir"; path: string; copyCpuset?: boolean }
  /** Writes one value to one file. `optional`: go on with a warning on these errno names, such as "ENOENT". */
  | { op: "writeFile"; path: string; data: string; optional?: string[] }
  /** Attaches an eBPF device program (raw instructions) to a v2 cgroup. */
  | { op: "cgroupDeviceProgram"; path: string; program: Uint8Array };

export type ParentOp =
  | { op: "idMaps"; uid: string; gid: string; setgroups: "allow" | "deny" }
  | { op: "oomScoreAdj"; value: number }
  /** The process is another runtime's command "create": what counts is the one that it leaves, with its pid in `pidFile`, and its terminal sent
   *  to the socket `console` ("": it has none). The root is attached at `mountpoint`; `cgroups` are what the runtime makes. */
  | { op: "adopt"; pidFile: string; console: string; mountpoint: string; width: number; height: number; cgroups: string[] };

export type Create = "none" | "file" | "dir" | "like-source";
/** recursive attributes are MOUNT_ATTR_*: set and cleared by mount_setattr. */
export interface MountAttributes {
  set: bigint;
  clear: bigint;
  recursiveSet: bigint;
  recursiveClear: bigint;
}
export type Propagation = "private" | "slave" | "shared" | "unbindable";

export type ChildOp =
  /** The child writes "0" to cgroup.procs of each folder (fds opened before clone by the shim), then unshares the cgroup namespace when it is new. */
  | { op: "joinCgroups"; paths: string[] }
  /** Propagation of / in the new mount namespace, before anything is mounted. */
  | { op: "rootPropagation"; propagation: Propagation; recursive: boolean }
  /** The new root, not attached yet: an overlay, or a recursive bind. */
  | { op: "rootOverlay"; lower: string[]; upper?: string; work?: string; options: [key: string, value: string | null][]; /** Layers, all below `folder`, have their ids mapped; `uid` and `gid` are the maps' root on the host, who makes files in them. */ idmap?: { uid: string; gid: string; folder: string; root: { uid: number; gid: number } } }
  | { op: "rootBind"; source: string; idmap?: { uid: string; gid: string } }
  /** fsopen, fsconfig (null value: a flag), fsmount, move_mount. */
  | { op: "mount"; fstype: string; source: string; target: string; options: [key: string, value: string | null][]; attributes: MountAttributes; propagation?: { type: Propagation; recursive: boolean }; create: Create; mode?: number; copyUp?: boolean; /** Give the new root the mode of the directory that it covers, when that existed (tmpfs without a mode option). */ inheritMode?: boolean; /** The target must be a real directory that no link leads to: a false /proc would take what is written to it. */ noLinks?: boolean }
  | { op: "bind"; source: string; target: string; recursive: boolean; attributes: MountAttributes; propagation?: { type: Propagation; recursive: boolean }[]; create: Create; idmap?: { uid: string; gid: string; recursive: boolean }; /** EPERM instead of clearing what a user namespace could not clear on the host's mount. */ keepLocked?: boolean; /** The source is opened in its turn, as an earlier mount makes it; else it may be opened before all mounts. */ afterMounts?: boolean }
  /** mount_setattr on the mount at `target`: a tmpfs that is filled first and read-only at the end. */
  | { op: "setAttributes"; target: string; attributes: MountAttributes }
  /** cgroup v1 or hybrid: a tmpfs with one mount per hierarchy; v2: cgroup2. `readonly` as the mount's options say.
   *  `hostPath` "": mount it (the container has a cgroup namespace of its own); else bind that folder of the host. */
  | { op: "cgroupMount"; target: string; hierarchies: { name: string; controllers: string; links: string[]; hostPath: string }[]; unified: boolean; readonly: boolean; attributes: MountAttributes }
  | { op: "mkdir"; target: string; mode: number }
  | { op: "mknod"; target: string; type: "c" | "b" | "p"; major: number; minor: number; mode: number; uid: number; gid: number; bindFallback: boolean }
  | { op: "symlink"; target: string; to: string }
  /** /dev/ptmx, /dev/console and the controlling terminal; the master's fd goes to the shim. */
  | { op: "console"; width: number; height: number }
  | { op: "pivotRoot"; mode: "pivot" | "moveMount" | "chroot" }
  /** After pivot. */
  | { op: "readonlyRoot" }
  | { op: "rootfsPropagation"; propagation: Propagation; recursive: boolean }
  | { op: "maskPath"; target: string }
  | { op: "readonlyPath"; target: string }
  | { op: "hostname"; name: string }
  | { op: "domainname"; name: string }
  /** Through a detached, type-checked proc mount, never by a path in the container. `name` with slashes. */
  | { op: "sysctl"; name: string; value: string }
  | { op: "timeOffsets"; text: string }
  /** By its stage: prestart and createRuntime in the shim, createContainer here, startContainer before the exec, poststart in the shim after it. With "adopt" also start: what starts the container. */
  | HookOp;

export type HookOp = {
  op: "hook";
  path: string;
  args: string[];
  env: string[];
  timeoutSeconds: number;
  stage: string;
  /** In the container's process: with its environment, HOME included. */
  inheritEnv?: boolean;
  /** The state that the hook reads, JSON; the first `"pid":0` in it becomes the pid of init. */
  state?: string;
};

/** The process itself; also what `exec` sends for a further process, with `join` on. */
export interface ExecStep {
  terminal: boolean;
  user: { uid: number; gid: number; additionalGids: number[]; umask?: number; /** Docker's USER string and --group-add, resolved in the root's /etc/passwd and /etc/group; win over uid and gid. */ spec?: string; groupSpecs?: string[] };
  cwd: string;
  /** Make the working directory when missing, as Docker does. */
  createCwd: boolean;
  args: string[];
  /** HOME is added by the executor from the user database when absent. */
  env: string[];
  capabilities?: { bounding: bigint; effective: bigint; permitted: bigint; inheritable: bigint; ambient: bigint };
  /** `optional`: EPERM when raising the hard limit is a warning (machines without CAP_SYS_RESOURCE). */
  rlimits: { resource: number; soft: bigint; hard: bigint }[];
  noNewPrivileges: boolean;
  oomScoreAdj?: number;
  /** struct sock_filter array, flags of seccomp(2); the notify listener's socket, and what it reads with the listener's fd, JSON
   *  in which each `"pid":0` becomes the pid of the process. */
  seccomp?: { program: Uint8Array; flags: number; listenerPath?: string; listenerState?: string };
  apparmorProfile?: string;
  selinuxLabel?: string;
  /** A new session keyring, named by the container. */
  keyring?: string;
  ioPriority?: number;
  scheduler?: { policy: number; flags: bigint; nice: number; priority: number; runtime: bigint; deadline: bigint; period: bigint };
  personality?: number;
  /** set_mempolicy(2): mode with flags, and a mask of 64-bit words. */
  memoryPolicy?: { mode: number; nodes: Uint8Array };
  /** Of an exec; without it a process may use every CPU of its cpuset. */
  cpuAffinity?: { initial?: string; final?: string };
}

/** A further process in a running task: namespaces by the init's pidfd, its cgroups, then the exec step. */
export interface ExecPlan {
  /** Which namespaces of init to enter. */
  namespaces: NamespaceType[];
  cgroups: string[];
  exec: ExecStep;
}

export type TeardownOp = { op: "cgroupRemove"; path: string } | HookOp;
