/**
 * compile: an OCI configuration and facts about the machine in, a plan out. Nothing here touches the system, so a plan can
 * be printed, compared and tested anywhere. Errors name the field that asked for what cannot be done.
 */
import { posix } from "node:path";
import type { RootfsMount } from "../../core/runtime.ts";
import { invalidParameter, notImplemented } from "../../lib/errors.ts";
import type { OciIdMapping, OciLinux, OciNamespaceType, OciProcess, OciSpec } from "../../lib/oci-spec.ts";
import type { CgroupGroup } from "../cgroups/groups.ts";
import { containerGroups } from "../cgroups/groups.ts";
import type { HostFacts } from "../host.ts";
import type { ChildOp, ExecPlan, ExecStep, NamespaceType, ParentOp, Plan, PlanNamespace, Propagation, TeardownOp } from "../plan/types.ts";
import { checkSpec } from "../validate/spec.ts";
import { checkSysctl } from "../validate/sysctl.ts";
import { cgroupOps } from "./cgroups.ts";
import { deviceOps } from "./devices.ts";
import { hookOps, listenerState } from "./hooks.ts";
import { namespaceMapText } from "./id-maps.ts";
import { compileMemoryPolicy } from "./memory-policy.ts";
import { parsePropagation } from "./mount-options.ts";
import { mountOps } from "./mounts.ts";
import { compilePersonality } from "./personality.ts";
import { compileProcess } from "./process.ts";
import { rootOps } from "./rootfs.ts";

export interface CompileOptions {
  /** The container's id: its cgroup's name when the configuration gives none, and its keyring's. */
  id: string;
  host: HostFacts;
  /** What makes the root file system; absent: `root.path`, relative to `bundle`. */
  rootfs?: RootfsMount[];
  bundle?: string;
  /** The position of an open network namespace among the plan's fds; it wins over the configuration's own entry. */
  netnsFd?: number;
  /** The terminal's first size in characters, instead of process.consoleSize. */
  consoleSize?: { width: number; height: number };
  /** Change the root by moving the mount instead of pivot_root, which an initramfs does not allow. */
  noPivot?: boolean;
  /** Keep the caller's session keyring. */
  noNewKeyring?: boolean;
  /** The caller itself runs the hooks that come after the container's start and removal (poststart, poststop), and moves network devices. */
  outerHooks?: boolean;
  /** The network namespace that is joined by its path is this process's own: its sysctls are the host's. */
  joinsHostNetwork?: boolean;
  /** The caller is not root but this user. */
  rootless?: { uid: number; gid: number };
  /** The id maps of the user namespace that is joined by its path. */
  joinedIdMaps?: { uidMappings: OciIdMapping[]; gidMappings: OciIdMapping[] };
  /** Gets what was asked for and is left out, one sentence each. */
  warn?: (message: string) => void;
}

export function compile(spec: OciSpec, options: CompileOptions): Plan {
  const linux = spec.linux ?? {};
  const namespaces = compileNamespaces(linux, options.netnsFd);
  const own = new Set(namespaces.map(({ type }) => type));
  checkSpec({ spec, linux, host: options.host, own });
  if (options.rootless && !own.has("user")) throw invalidParameter("linux.namespaces: a container of an ordinary user needs a user namespace");
  if (!options.outerHooks && Object.keys(linux.netDevices ?? {}).length > 0) throw notImplemented("linux.netDevices: only gantry-runtime moves network devices");
  if (spec.process === undefined) throw invalidParameter("process is missing, the container has nothing to run");
  const groups = containerGroups(options.host.cgroups, linux.cgroupsPath, options.id);
  return {
    namespaces,
    host: cgroupOps(groups, linux.resources ?? {}, { files: options.host.cgroups.files, rootless: options.rootless !== undefined }),
    parent: parentOps(spec, namespaces, options),
    child: childOps({ spec, linux, options, namespaces, own, groups }),
    exec: initStep(spec.process, spec, options),
    teardown: [...groups.map(({ path }): TeardownOp => ({ op: "cgroupRemove", path })), ...(options.outerHooks ? [] : hookOps(spec, ["poststop"], options))],
  };
}

/** A further process in a container that was made from `spec`. */
export function compileExec(process: OciProcess, spec: OciSpec, options: Pick<CompileOptions, "id" | "host" | "bundle" | "netnsFd" | "noNewKeyring" | "warn"> & { /** Of the container's init, for the state that a seccomp listener gets. */ initPid?: number }): ExecPlan {
  const linux = spec.linux ?? {};
  return {
    namespaces: compileNamespaces(linux, options.netnsFd).map(({ type }) => type),
    cgroups: containerGroups(options.host.cgroups, linux.cgroupsPath, options.id).map(({ path }) => path),
    exec: compileExecStep(process, { spec, options, createCwd: false }),
  };
}

/** The CPUs of execCPUAffinity are those of further processes alone. */
function initStep(process: OciProcess, spec: OciSpec, options: CompileOptions): ExecStep {
  const { cpuAffinity: _, ...step } = compileExecStep(process, { spec, options, createCwd: true });
  return step;
}

function compileExecStep(process: OciProcess, { spec, options, createCwd }: { spec: OciSpec; options: CompileOptions & { initPid?: number }; createCwd: boolean }): ExecStep {
  return compileProcess(process, {
    host: options.host,
    seccomp: spec.linux?.seccomp,
    listenerState: () => listenerState(spec, { ...options, status: createCwd ? "creating" : "running" }),
    personality: compilePersonality(spec.linux?.personality),
    memoryPolicy: compileMemoryPolicy(spec.linux?.memoryPolicy),
    createCwd,
    keyring: options.noNewKeyring ? undefined : `_ses.${options.id}`,
    warn: options.warn ?? (() => {}),
  });
}

function compileNamespaces(linux: OciLinux, netnsFd: number | undefined): PlanNamespace[] {
  const namespaces = (linux.namespaces ?? []).map(({ type, path }): PlanNamespace => (path ? { type, kind: "join", path } : { type, kind: "new" }));
  if (netnsFd === undefined) return namespaces;
  const joined = (type: "user" | "network"): PlanNamespace => ({ type, kind: "joinFd", index: netnsFd });
  // The user namespace in which the network namespace was made: only there the container's root has rights over it.
  const others = namespaces.filter(({ type }) => type !== "network").map((namespace) => (namespace.type === "user" && namespace.kind === "new" ? joined("user") : namespace));
  return [...others, joined("network")];
}

const isNew = (namespaces: PlanNamespace[], type: NamespaceType): boolean => namespaces.some((namespace) => namespace.type === type && namespace.kind === "new");

function parentOps(spec: OciSpec, namespaces: PlanNamespace[], { rootless }: CompileOptions): ParentOp[] {
  const ops: ParentOp[] = [];
  const { uidMappings = [], gidMappings = [] } = spec.linux ?? {};
  if (isNew(namespaces, "user")) ops.push({ op: "idMaps", uid: namespaceMapText(uidMappings, "linux.uidMappings"), gid: namespaceMapText(gidMappings, "linux.gidMappings"), setgroups: rootless && mapsOnly(gidMappings, rootless.gid) ? "deny" : "allow" });
  if (spec.process?.oomScoreAdj !== undefined) ops.push({ op: "oomScoreAdj", value: spec.process.oomScoreAdj });
  return ops;
}

/** Then the kernel wants setgroups denied: a group may be there to deny something. */
const mapsOnly = (mappings: readonly OciIdMapping[], id: number): boolean => mappings.length === 1 && mappings[0]!.size === 1 && mappings[0]!.hostID === id;

interface ChildInput {
  spec: OciSpec;
  linux: OciLinux;
  options: CompileOptions;
  namespaces: PlanNamespace[];
  own: ReadonlySet<OciNamespaceType>;
  groups: CgroupGroup[];
}

function childOps(input: ChildInput): ChildOp[] {
  const { spec, linux, options, namespaces, groups } = input;
  const propagation = rootPropagation(linux.rootfsPropagation);
  const mounts = spec.mounts ?? [];
  const root = rootOps(spec, options);
  const context = {
    groups,
    ownCgroupNamespace: isNew(namespaces, "cgroup"),
    bundle: options.bundle,
    ownUserNamespace: input.own.has("user"),
    covered: [],
    rootPath: options.rootfs === undefined && root.ops[0]?.op === "rootBind" ? root.ops[0].source : undefined,
    uidMappings: options.joinedIdMaps?.uidMappings ?? linux.uidMappings,
    gidMappings: options.joinedIdMaps?.gidMappings ?? linux.gidMappings,
    warn: options.warn ?? (() => {}),
  };
  const filled = mountOps(mounts, context);
  const newMounts = isNew(namespaces, "mount");
  return [
    { op: "joinCgroups", paths: groups.map(({ path }) => path) },
    ...timeOps(linux),
    ...(newMounts ? [{ op: "rootPropagation" as const, propagation: beforeRoot(propagation?.type), recursive: propagation?.recursive ?? true }] : []),
    ...root.ops,
    ...filled.ops,
    ...deviceOps(linux.devices ?? [], mounts, options.host),
    ...consoleOps(spec, options),
    ...hookOps(spec, ["prestart", "createRuntime", "createContainer", "startContainer", ...(options.outerHooks ? [] : ["poststart" as const])], options),
    ...filled.late,
    // In a mount namespace of others, theirs stays the root.
    { op: "pivotRoot", mode: !newMounts ? "chroot" : options.noPivot ? "moveMount" : "pivot" },
    ...(propagation ? [{ op: "rootfsPropagation" as const, propagation: propagation.type, recursive: propagation.recursive }] : []),
    ...identityOps(input),
    ...distinctPaths(linux.readonlyPaths).map((target): ChildOp => ({ op: "readonlyPath", target })),
    ...distinctPaths(linux.maskedPaths).map((target): ChildOp => ({ op: "maskPath", target })),
    ...(root.readonly ? [{ op: "readonlyRoot" as const }] : []),
  ];
}

const distinctPaths = (paths: string[] = []): string[] => [...new Set(paths.map((path) => posix.normalize(path)))];

function identityOps({ spec, linux, own, options }: ChildInput): ChildOp[] {
  const sysctlOwners = new Set([...own].filter((type) => type !== "network" || !options.joinsHostNetwork));
  const ops: ChildOp[] = [];
  if (spec.hostname) ops.push({ op: "hostname", name: spec.hostname });
  if (spec.domainname) ops.push({ op: "domainname", name: spec.domainname });
  for (const [name, value] of Object.entries(linux.sysctl ?? {})) ops.push({ op: "sysctl", name: checkSysctl(name, value, sysctlOwners), value });
  return ops;
}

function consoleOps({ process }: OciSpec, { consoleSize }: CompileOptions): ChildOp[] {
  if (!process?.terminal) return [];
  const size = consoleSize ?? process.consoleSize;
  return [{ op: "console", width: size?.width ?? 0, height: size?.height ?? 0 }];
}

/** time_namespaces(7): "clock seconds nanoseconds" lines. */
function timeOps({ timeOffsets }: OciLinux): ChildOp[] {
  const lines = Object.entries(timeOffsets ?? {}).map(([clock, { secs = 0, nanosecs = 0 }]) => `${clock} ${secs} ${nanosecs}\n`);
  return lines.length === 0 ? [] : [{ op: "timeOffsets", text: lines.join("") }];
}

/** What is unbindable cannot be the root's source: it becomes so when the root stands. */
const beforeRoot = (type: Propagation = "slave"): Propagation => (type === "unbindable" ? "private" : type);

function rootPropagation(name: string | undefined): ReturnType<typeof parsePropagation> {
  if (name === undefined || name === "") return undefined;
  return parsePropagation(name) ?? invalid(name);
}

function invalid(name: string): never {
  throw invalidParameter(`linux.rootfsPropagation ${JSON.stringify(name)} is not a propagation mode`);
}

