/** `process` of a configuration, or of an exec, as the plan's exec step. */
import { invalidParameter } from "../../lib/errors.ts";
import type { OciProcess, OciSeccomp } from "../../lib/oci-spec.ts";
import type { HostFacts } from "../host.ts";
import type { ExecStep } from "../plan/types.ts";
import { compileSeccomp } from "../seccomp/compile.ts";
import { checkProcess } from "../validate/process.ts";
import { compileCapabilities } from "./capabilities.ts";
import { compileIoPriority, compileScheduler } from "./scheduling.ts";

export interface ProcessContext {
  host: HostFacts;
  seccomp: OciSeccomp | undefined;
  /** What the listener of a seccomp filter gets. */
  listenerState: () => string;
  personality: number | undefined;
  memoryPolicy: ExecStep["memoryPolicy"];
  createCwd: boolean;
  /** The name of the session keyring; undefined keeps the caller's. */
  keyring: string | undefined;
  warn: (message: string) => void;
}

export function compileProcess(process: OciProcess, context: ProcessContext): ExecStep {
  const { host, warn } = context;
  checkProcess(process, host);
  const scheduler = compileScheduler(process.scheduler);
  const ioPriority = compileIoPriority(process.ioPriority);
  const seccomp = context.seccomp && compileSeccomp(context.seccomp, host.architecture);
  return {
    terminal: process.terminal ?? false,
    user: compileUser(process.user),
    cwd: process.cwd,
    createCwd: context.createCwd,
    args: process.args,
    env: lastOfEachName(process.env ?? []),
    capabilities: compileCapabilities(process.capabilities, host.capabilities, warn),
    rlimits: compileRlimits(process.rlimits ?? []),
    noNewPrivileges: process.noNewPrivileges ?? false,
    ...(process.oomScoreAdj !== undefined && { oomScoreAdj: process.oomScoreAdj }),
    ...(seccomp && { seccomp: seccomp.listenerPath === undefined ? seccomp : { ...seccomp, listenerState: context.listenerState() } }),
    ...(process.apparmorProfile && host.apparmor && { apparmorProfile: process.apparmorProfile }),
    ...(process.selinuxLabel && { selinuxLabel: process.selinuxLabel }),
    ...(context.keyring !== undefined && { keyring: context.keyring }),
    ...(ioPriority !== undefined && { ioPriority }),
    ...(scheduler && { scheduler }),
    ...(context.personality !== undefined && { personality: context.personality }),
    ...(context.memoryPolicy && { memoryPolicy: context.memoryPolicy }),
    ...(process.execCPUAffinity && { cpuAffinity: process.execCPUAffinity }),
  };
}

/** A name given twice has its last value, at its last place. */
function lastOfEachName(env: string[]): string[] {
  const byName = new Map<string, string>();
  for (const entry of env) {
    const name = entry.slice(0, entry.indexOf("="));
    byName.delete(name);
    byName.set(name, entry);
  }
  return byName.size === env.length ? env : [...byName.values()];
}

function compileUser(user: OciProcess["user"]): ExecStep["user"] {
  return {
    uid: user.uid,
    gid: user.gid,
    additionalGids: user.additionalGids ?? [],
    ...(user.umask !== undefined && { umask: user.umask }),
    ...(user.username && { spec: user.username }),
    ...(user.additionalGroups?.length && { groupSpecs: user.additionalGroups }),
  };
}

/** include/uapi/asm-generic/resource.h: the names in the order of their numbers. */
const resources = ["CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME"];

function compileRlimits(rlimits: NonNullable<OciProcess["rlimits"]>): ExecStep["rlimits"] {
  const seen = new Set<number>();
  return rlimits.map(({ type, soft, hard }, index) => {
    const where = `process.rlimits[${index}]`;
    const resource = type.startsWith("RLIMIT_") ? resources.indexOf(type.slice("RLIMIT_".length)) : -1;
    if (resource === -1) throw invalidParameter(`${where}.type: unknown limit ${JSON.stringify(type)}`);
    if (seen.has(resource)) throw invalidParameter(`${where}.type: ${type} is given twice`);
    seen.add(resource);
    const limits = { resource, soft: limitValue(soft, `${where}.soft`), hard: limitValue(hard, `${where}.hard`) };
    if (limits.soft > limits.hard) throw invalidParameter(`${where}: soft limit ${soft} is above hard limit ${hard}`);
    return limits;
  });
}

/** RLIM_INFINITY comes as 2^64-1, which a JSON number can only hold rounded to 2^64, or as -1. */
function limitValue(value: number, where: string): bigint {
  if (value === -1 || value >= 2 ** 64 - 1024) return 0xffff_ffff_ffff_ffffn;
  if (!Number.isInteger(value) || value < 0) throw invalidParameter(`${where} ${value} is not a limit`);
  return BigInt(value);
}
