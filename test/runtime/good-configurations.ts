/** Configurations that work, of the kinds that engines write: each member of the specification is in one of them. */
import { defaultCapabilities, defaultDeviceRules, defaultMaskedPaths, defaultMounts, defaultNamespaces, defaultReadonlyPaths, ociVersion } from "../../src/core/oci-defaults.ts";
import type { OciSpec } from "../../src/lib/oci-spec.ts";
import { detectLayout } from "../../src/oci/cgroups/layout.ts";

const capabilities = { bounding: [...defaultCapabilities], effective: [...defaultCapabilities], permitted: [...defaultCapabilities] };
const process = { user: { uid: 0, gid: 0 }, args: ["true"], env: ["PATH=/bin"], cwd: "/", capabilities };
const namespaces = [...defaultNamespaces, "cgroup" as const].map((type) => ({ type }));
const has = (controller: string): boolean => detectLayout().hierarchies.some(({ controllers }) => controllers.includes(controller));

/** As Docker makes it for `docker run`. */
const docker: OciSpec = {
  ociVersion,
  process,
  root: { path: "rootfs" },
  hostname: "box",
  mounts: [...defaultMounts],
  linux: { cgroupsPath: "/good/c", namespaces, maskedPaths: [...defaultMaskedPaths], readonlyPaths: [...defaultReadonlyPaths], resources: { devices: [...defaultDeviceRules] } },
};

/** Limits of all kinds. */
const limited: OciSpec = {
  ...docker,
  linux: {
    ...docker.linux,
    resources: {
      devices: [{ allow: false, access: "rwm" }, { allow: true, type: "c", major: 1, minor: 3, access: "rw" }],
      memory: { limit: 64 << 20, reservation: 32 << 20, swap: 64 << 20, swappiness: 10 },
      cpu: { shares: 512, quota: 50_000, period: 100_000, cpus: "0", mems: "0" },
      pids: { limit: 100 },
      ...(has("blkio") ? { blockIO: { throttleReadBpsDevice: [{ major: 7, minor: 0, rate: 1 << 20 }] } } : {}),
      ...(has("net_cls") ? { network: { classID: 1_048_577 } } : {}),
    },
  },
};

/** A process that asks for everything. */
const particular: OciSpec = {
  ...docker,
  domainname: "example.org",
  annotations: { "org.example.key": "value" },
  root: { path: "rootfs", readonly: true },
  process: {
    ...process,
    user: { uid: 1000, gid: 100, umask: 18, additionalGids: [5, 7] },
    env: ["PATH=/bin", "A=b=c", "EMPTY="],
    cwd: "/tmp",
    capabilities: { ...capabilities, inheritable: ["CAP_KILL"], ambient: ["CAP_KILL"] },
    rlimits: [{ type: "RLIMIT_NOFILE", soft: 100, hard: 200 }, { type: "RLIMIT_CORE", soft: 0, hard: 0 }],
    noNewPrivileges: true,
    oomScoreAdj: 100,
    scheduler: { policy: "SCHED_BATCH", nice: 1 },
    ioPriority: { class: "IOPRIO_CLASS_BE", priority: 3 },
  },
  hooks: { createRuntime: [{ path: "/bin/true", args: ["true"], env: ["A=b"], timeout: 5 }], poststop: [{ path: "/bin/true" }] },
  linux: {
    ...docker.linux,
    sysctl: { "net.ipv4.ip_forward": "1", "kernel.shmmni": "77" },
    devices: [{ path: "/dev/my", type: "c", major: 1, minor: 5, fileMode: 0o640, uid: 5, gid: 6 }, { path: "/dev/pipe", type: "p" }],
    seccomp: {
      defaultAction: "SCMP_ACT_ALLOW",
      architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
      flags: ["SECCOMP_FILTER_FLAG_LOG"],
      syscalls: [{ names: ["mkdir", "no_such_call"], action: "SCMP_ACT_ERRNO", errnoRet: 28 }, { names: ["personality"], action: "SCMP_ACT_ERRNO", args: [{ index: 0, value: 8, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }] }],
    },
    rootfsPropagation: "private",
    personality: { domain: "LINUX" },
  },
};

/** Ids of its own, offsets of time, and mounts with every kind of option. */
const mapped: OciSpec = {
  ...docker,
  mounts: [
    ...defaultMounts.filter(({ type }) => type !== "cgroup"),
    { destination: "/data", type: "bind", source: "shared", options: ["rbind", "ro", "nosuid", "rprivate"] },
    { destination: "/cache", type: "tmpfs", source: "tmpfs", options: ["size=64k", "mode=0711", "nodev", "noexec"] },
    { destination: "/new/file", type: "bind", source: "shared/file", options: ["bind"] },
  ],
  linux: {
    ...docker.linux,
    namespaces: [...namespaces, { type: "user" }, { type: "time" }],
    uidMappings: [{ containerID: 0, hostID: 0, size: 1 }, { containerID: 1, hostID: 100_001, size: 999 }],
    gidMappings: [{ containerID: 0, hostID: 0, size: 65_536 }],
    timeOffsets: { monotonic: { secs: 100, nanosecs: 5 }, boottime: { secs: 100 } },
  },
};

export const goodConfigurations: Record<string, OciSpec> = { docker, limited, particular, mapped };
