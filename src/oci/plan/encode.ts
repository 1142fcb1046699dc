/** The binary form of a plan; native/shim/plan.h describes the layout and has the same numbers. */
import { ByteWriter } from "./bytes.ts";
import type { ChildOp, ExecPlan, ExecStep, HostOp, MountAttributes, NamespaceType, ParentOp, Plan, PlanNamespace, Propagation, TeardownOp } from "./types.ts";

type Op = HostOp | ParentOp | ChildOp | TeardownOp;

const version = 2;

/** Positions are the numbers of enum namespace_type. */
export const namespaceTypes: readonly NamespaceType[] = ["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"];

/** enum op_code, from 1. */
export const opCodes: readonly Op["op"][] = [
  "cgroupMkdir", "writeFile", "cgroupDeviceProgram", "idMaps", "oomScoreAdj", "joinCgroups", "rootPropagation", "rootOverlay", "rootBind", "mount", "bind",
  "setAttributes", "cgroupMount", "mkdir", "mknod", "symlink", "console", "pivotRoot", "readonlyRoot", "rootfsPropagation", "maskPath", "readonlyPath",
  "hostname", "domainname", "sysctl", "timeOffsets", "hook", "cgroupRemove", "adopt",
];
const codeOf = new Map(opCodes.map((name, index) => [name, index + 1]));

const creates = { none: 0, file: 1, dir: 2, "like-source": 3 };
const propagations: Record<Propagation, number> = { private: 1, slave: 2, shared: 3, unbindable: 4 };
const pivots = { pivot: 0, moveMount: 1, chroot: 2 };
/** A mode or umask that is not given. */
const absent = 0xffffffff;

export function encodePlan(plan: Plan): Buffer {
  const w = new ByteWriter(16384);
  w.raw(Buffer.from("GPLN"));
  w.u32(version);
  w.part(() => w.list(plan.namespaces, (namespace) => writeNamespace(w, namespace)));
  w.part(() => writeOps(w, plan.host));
  w.part(() => writeOps(w, plan.parent));
  w.part(() => writeOps(w, plan.child));
  w.part(() => writeExec(w, plan.exec));
  w.part(() => writeOps(w, plan.teardown));
  return w.bytes();
}

export function encodeExecPlan(plan: ExecPlan): Buffer {
  const w = new ByteWriter(16384);
  w.raw(Buffer.from("GEXE"));
  w.u32(version);
  w.u32(plan.namespaces.reduce((mask, type) => mask | (1 << namespaceTypes.indexOf(type)), 0));
  w.strings(plan.cgroups);
  w.part(() => writeExec(w, plan.exec));
  return w.bytes();
}

function writeNamespace(w: ByteWriter, namespace: PlanNamespace): void {
  w.u8(namespaceTypes.indexOf(namespace.type));
  switch (namespace.kind) {
    case "new":
      w.u8(1);
      break;
    case "join":
      w.u8(2);
      w.string(namespace.path);
      break;
    case "joinFd":
      w.u8(3);
      w.u32(namespace.index);
      break;
  }
}

function writeOps(w: ByteWriter, ops: readonly Op[]): void {
  w.list(ops, (op) => {
    w.u8(codeOf.get(op.op) ?? 0);
    w.part(() => writeOp(w, op));
  });
}

function writeOptions(w: ByteWriter, options: readonly [string, string | null][]): void {
  w.list(options, ([key, value]) => {
    w.string(key);
    w.bool(value !== null);
    if (value !== null) w.string(value);
  });
}

function writeAttributes(w: ByteWriter, attributes: MountAttributes): void {
  w.u64(attributes.set);
  w.u64(attributes.clear);
  w.u64(attributes.recursiveSet);
  w.u64(attributes.recursiveClear);
}

function writePropagation(w: ByteWriter, propagation: { type: Propagation; recursive: boolean }): void {
  w.u8(propagations[propagation.type]);
  w.bool(propagation.recursive);
}

function writeOp(w: ByteWriter, op: Op): void {
  switch (op.op) {
    case "cgroupMkdir":
      w.string(op.path);
      w.bool(op.copyCpuset);
      break;
    case "writeFile":
      w.string(op.path);
      w.string(op.data);
      w.strings(op.optional);
      break;
    case "cgroupDeviceProgram":
      w.string(op.path);
      w.blob(op.program);
      break;
    case "idMaps":
      w.string(op.uid);
      w.string(op.gid);
      w.string(op.setgroups);
      break;
    case "oomScoreAdj":
      w.u32(op.value);
      break;
    case "adopt":
      w.string(op.pidFile);
      w.string(op.console);
      w.string(op.mountpoint);
      w.u32(op.width);
      w.u32(op.height);
      w.strings(op.cgroups);
      break;
    case "joinCgroups":
      w.strings(op.paths);
      break;
    case "rootPropagation":
    case "rootfsPropagation":
      writePropagation(w, { type: op.propagation, recursive: op.recursive });
      break;
    case "rootOverlay":
      w.strings(op.lower);
      w.string(op.upper ?? "");
      w.string(op.work ?? "");
      writeOptions(w, op.options);
      w.string(op.idmap?.folder ?? "");
      w.string(op.idmap?.uid ?? "");
      w.string(op.idmap?.gid ?? "");
      w.u32(op.idmap?.root.uid ?? 0);
      w.u32(op.idmap?.root.gid ?? 0);
      break;
    case "rootBind":
      w.string(op.source);
      w.string(op.idmap?.uid ?? "");
      w.string(op.idmap?.gid ?? "");
      break;
    case "mount":
      w.string(op.fstype);
      w.string(op.source);
      w.string(op.target);
      writeOptions(w, op.options);
      writeAttributes(w, op.attributes);
      w.list(op.propagation ? [op.propagation] : [], (propagation) => writePropagation(w, propagation));
      w.u8(creates[op.create]);
      w.u32(op.mode ?? absent);
      w.bool(op.copyUp);
      w.bool(op.inheritMode);
      w.bool(op.noLinks);
      break;
    case "bind":
      w.string(op.source);
      w.string(op.target);
      w.bool(op.recursive);
      writeAttributes(w, op.attributes);
      w.list(op.propagation ?? [], (propagation) => writePropagation(w, propagation));
      w.u8(creates[op.create]);
      w.string(op.idmap?.uid ?? "");
      w.string(op.idmap?.gid ?? "");
      w.bool(op.idmap?.recursive);
      w.bool(op.keepLocked);
      w.bool(op.afterMounts);
      break;
    case "setAttributes":
      w.string(op.target);
      writeAttributes(w, op.attributes);
      break;
    case "cgroupMount":
      w.string(op.target);
      w.list(op.hierarchies, (hierarchy) => {
        w.string(hierarchy.name);
        w.string(hierarchy.controllers);
        w.strings(hierarchy.links);
        w.string(hierarchy.hostPath);
      });
      w.bool(op.unified);
      w.bool(op.readonly);
      writeAttributes(w, op.attributes);
      break;
    case "mkdir":
      w.string(op.target);
      w.u32(op.mode);
      break;
    case "mknod":
      w.string(op.target);
      w.u8(op.type.charCodeAt(0));
      w.u32(op.major);
      w.u32(op.minor);
      w.u32(op.mode);
      w.u32(op.uid);
      w.u32(op.gid);
      w.bool(op.bindFallback);
      break;
    case "symlink":
      w.string(op.target);
      w.string(op.to);
      break;
    case "console":
      w.u32(op.width);
      w.u32(op.height);
      break;
    case "pivotRoot":
      w.u8(pivots[op.mode]);
      break;
    case "readonlyRoot":
      break;
    case "maskPath":
    case "readonlyPath":
      w.string(op.target);
      break;
    case "hostname":
    case "domainname":
      w.string(op.name);
      break;
    case "sysctl":
      w.string(op.name);
      w.string(op.value);
      break;
    case "timeOffsets":
      w.string(op.text);
      break;
    case "hook":
      w.string(op.path);
      w.strings(op.args);
      w.strings(op.env);
      w.u32(op.timeoutSeconds);
      w.string(op.stage);
      w.string(op.state ?? "");
      w.bool(op.inheritEnv);
      break;
    case "cgroupRemove":
      w.string(op.path);
      break;
  }
}

function writeExec(w: ByteWriter, step: ExecStep): void {
  w.bool(step.terminal);
  w.u32(step.user.uid);
  w.u32(step.user.gid);
  w.list(step.user.additionalGids, (gid) => w.u32(gid));
  w.u32(step.user.umask ?? absent);
  w.string(step.user.spec ?? "");
  w.strings(step.user.groupSpecs);
  w.string(step.cwd);
  w.bool(step.createCwd);
  w.strings(step.args);
  w.strings(step.env);
  writeLimits(w, step);
  w.bool(step.seccomp !== undefined);
  if (step.seccomp) {
    w.blob(step.seccomp.program);
    w.u32(step.seccomp.flags);
    w.string(step.seccomp.listenerPath ?? "");
    w.string(step.seccomp.listenerState ?? "");
  }
  w.string(step.apparmorProfile ?? "");
  w.string(step.selinuxLabel ?? "");
  w.string(step.keyring ?? "");
  writeScheduling(w, step);
}

function writeLimits(w: ByteWriter, step: ExecStep): void {
  const capabilities = step.capabilities;
  w.bool(capabilities !== undefined);
  if (capabilities) {
    w.u64(capabilities.bounding);
    w.u64(capabilities.effective);
    w.u64(capabilities.permitted);
    w.u64(capabilities.inheritable);
    w.u64(capabilities.ambient);
  }
  w.list(step.rlimits, (limit) => {
    w.u32(limit.resource);
    w.u64(limit.soft);
    w.u64(limit.hard);
  });
  w.bool(step.noNewPrivileges);
  w.bool(step.oomScoreAdj !== undefined);
  if (step.oomScoreAdj !== undefined) w.u32(step.oomScoreAdj);
}

function writeScheduling(w: ByteWriter, step: ExecStep): void {
  w.bool(step.ioPriority !== undefined);
  if (step.ioPriority !== undefined) w.u32(step.ioPriority);
  const scheduler = step.scheduler;
  w.bool(scheduler !== undefined);
  if (scheduler) {
    w.u32(scheduler.policy);
    w.u64(scheduler.flags);
    w.u32(scheduler.nice);
    w.u32(scheduler.priority);
    w.u64(scheduler.runtime);
    w.u64(scheduler.deadline);
    w.u64(scheduler.period);
  }
  w.bool(step.personality !== undefined);
  if (step.personality !== undefined) w.u32(step.personality);
  w.bool(step.memoryPolicy !== undefined);
  if (step.memoryPolicy) {
    w.u32(step.memoryPolicy.mode);
    w.blob(step.memoryPolicy.nodes);
  }
  w.string(step.cpuAffinity?.initial ?? "");
  w.string(step.cpuAffinity?.final ?? "");
}
