/** config.json of a bundle: text in, OciSpec out. Types and ranges are those of the specification's JSON schema. */
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import { parseKeepingBigIntegers } from "../../lib/json-integers.ts";
import type { OciNamespaceType, OciProcess, OciResources, OciSpec } from "../../lib/oci-spec.ts";
import type { Shape } from "./shapes.ts";
import { flag, int32, int64, list, mapOf, matching, object, optional, text, uint16, uint32, uint64, wide } from "./shapes.ts";

/** Many times what any engine writes, and small enough to parse in a moment. */
const maximumBytes = 8 * 1024 * 1024;

export function parseConfig(json: string): OciSpec {
  return config(decode(json), "");
}

/** The file of `gantry-runtime exec --process`. */
export function parseProcess(json: string): OciProcess {
  return processShape(decode(json), "process");
}

/** The file of `gantry-runtime update --resources`: a configuration's `linux.resources`. */
export function parseResources(json: string): OciResources {
  return resources(decode(json), "");
}

function decode(json: string): unknown {
  if (json.length > maximumBytes) throw invalidParameter(`the configuration is larger than ${maximumBytes} bytes`);
  try {
    return parseKeepingBigIntegers(json);
  } catch (error) {
    throw invalidParameter(`the configuration is not JSON: ${messageOf(error)}`, error);
  }
}

const texts = list(text);
const userFields = object({ uid: optional(uint32), gid: optional(uint32), umask: optional(uint32), additionalGids: optional(list(uint32)) });
const user: Shape<OciProcess["user"]> = (value, where) => ({ uid: 0, gid: 0, ...userFields(value, where) });
const capabilities = object({ bounding: optional(texts), effective: optional(texts), inheritable: optional(texts), permitted: optional(texts), ambient: optional(texts) });
const rlimit = object({ type: text, soft: uint64, hard: uint64 });
const scheduler = object({ policy: text, nice: optional(int32), priority: optional(int32), flags: optional(texts), runtime: optional(uint64), deadline: optional(uint64), period: optional(uint64) });

const processFields = object({
  terminal: optional(flag),
  consoleSize: optional(object({ height: uint16, width: uint16 })),
  user: optional(user),
  args: optional(texts),
  env: optional(texts),
  cwd: text,
  capabilities: optional(capabilities),
  rlimits: optional(list(rlimit)),
  noNewPrivileges: optional(flag),
  apparmorProfile: optional(text),
  selinuxLabel: optional(text),
  oomScoreAdj: optional(int32),
  scheduler: optional(scheduler),
  ioPriority: optional(object({ class: text, priority: optional(int32) })),
  execCPUAffinity: optional(object({ initial: optional(text), final: optional(text) })),
});
/** Zero values where Go's decoder leaves them; empty args are refused when they are about to be run. */
const processShape: Shape<OciProcess> = (value, where) => ({ user: { uid: 0, gid: 0 }, args: [], ...processFields(value, where) });

const idMapping = object({ containerID: uint32, hostID: uint32, size: uint32 });
const idMappings = list(idMapping);
const mount = object({ destination: text, type: optional(text), source: optional(text), options: optional(texts), uidMappings: optional(idMappings), gidMappings: optional(idMappings) });
const hooks = optional(list(object({ path: text, args: optional(texts), env: optional(texts), timeout: optional(int64) })));
const device = object({ path: text, type: text, major: optional(int64), minor: optional(int64), fileMode: optional(uint32), uid: optional(uint32), gid: optional(uint32) });

const deviceRule = object({ allow: flag, type: optional(text), major: optional(int64), minor: optional(int64), access: optional(text) });
const memory = object({
  limit: optional(int64), reservation: optional(int64), swap: optional(int64), kernel: optional(int64), kernelTCP: optional(int64), swappiness: optional(uint64),
  disableOOMKiller: optional(flag), useHierarchy: optional(flag), checkBeforeUpdate: optional(flag),
});
const cpu = object({
  shares: optional(uint64), quota: optional(int64), burst: optional(uint64), period: optional(uint64), realtimeRuntime: optional(int64), realtimePeriod: optional(uint64),
  cpus: optional(text), mems: optional(text), idle: optional(int64),
});
const throttle = optional(list(object({ major: int64, minor: int64, rate: uint64 })));
const blockIO = object({
  weight: optional(uint16), leafWeight: optional(uint16),
  weightDevice: optional(list(object({ major: int64, minor: int64, weight: optional(uint16), leafWeight: optional(uint16) }))),
  throttleReadBpsDevice: throttle, throttleWriteBpsDevice: throttle, throttleReadIOPSDevice: throttle, throttleWriteIOPSDevice: throttle,
});
const resources = object({
  devices: optional(list(deviceRule)),
  memory: optional(memory),
  cpu: optional(cpu),
  pids: optional(object({ limit: optional(int64) })),
  blockIO: optional(blockIO),
  hugepageLimits: optional(list(object({ pageSize: matching(/^[1-9][0-9]*[KMG]B$/), limit: uint64 }))),
  network: optional(object({ classID: optional(uint32), priorities: optional(list(object({ name: text, priority: uint32 }))) })),
  rdma: optional(mapOf(object({ hcaHandles: optional(uint32), hcaObjects: optional(uint32) }))),
  unified: optional(mapOf(text)),
});

const seccomp = object({
  defaultAction: text,
  defaultErrnoRet: optional(uint32),
  architectures: optional(texts),
  flags: optional(texts),
  listenerPath: optional(text),
  listenerMetadata: optional(text),
  syscalls: optional(list(object({
    names: texts, action: text, errnoRet: optional(uint32),
    args: optional(list(object({ index: uint32, value: wide, valueTwo: optional(wide), op: text }))),
  }))),
});

const namespaceType: Shape<OciNamespaceType> = (value, where) => text(value, where) as OciNamespaceType;
const memoryPolicyFields = object({ mode: optional(text), nodes: optional(text), flags: optional(texts) });
const memoryPolicy: Shape<NonNullable<OciSpec["linux"]>["memoryPolicy"] & object> = (value, where) => ({ mode: "", ...memoryPolicyFields(value, where) });
const linux = object({
  namespaces: optional(list(object({ type: namespaceType, path: optional(text) }))),
  uidMappings: optional(idMappings),
  gidMappings: optional(idMappings),
  timeOffsets: optional(mapOf(object({ secs: optional(int64), nanosecs: optional(uint32) }))),
  devices: optional(list(device)),
  netDevices: optional(mapOf(object({ name: optional(text) }))),
  cgroupsPath: optional(text),
  resources: optional(resources),
  rootfsPropagation: optional(text),
  seccomp: optional(seccomp),
  sysctl: optional(mapOf(text)),
  maskedPaths: optional(texts),
  readonlyPaths: optional(texts),
  mountLabel: optional(text),
  personality: optional(object({ domain: text, flags: optional(texts) })),
  intelRdt: optional(object({ closID: optional(text), l3CacheSchema: optional(text), memBwSchema: optional(text), schemata: optional(texts), enableMonitoring: optional(flag) })),
  memoryPolicy: optional(memoryPolicy),
});

const config: Shape<OciSpec> = object({
  ociVersion: text,
  process: optional(processShape),
  root: optional(object({ path: text, readonly: optional(flag) })),
  hostname: optional(text),
  domainname: optional(text),
  mounts: optional(list(mount)),
  hooks: optional(object({ prestart: hooks, createRuntime: hooks, createContainer: hooks, startContainer: hooks, poststart: hooks, poststop: hooks })),
  annotations: optional(mapOf(text)),
  linux: optional(linux),
});
