/** Checks of a configuration that concern more than one field, or fields that this runtime does not do. */
import { invalidParameter, notImplemented } from "../../lib/errors.ts";
import { lookup } from "../../lib/lookup.ts";
import type { OciLinux, OciNamespaceType, OciSpec } from "../../lib/oci-spec.ts";
import type { HostFacts } from "../host.ts";

export interface CheckContext {
  spec: OciSpec;
  linux: OciLinux;
  host: HostFacts;
  /** Namespaces that are not the host's: new or joined. */
  own: ReadonlySet<OciNamespaceType>;
}

type Check = (context: CheckContext) => void;

const namespaceFiles: Record<OciNamespaceType, string> = { pid: "pid", network: "net", mount: "mnt", ipc: "ipc", uts: "uts", user: "user", cgroup: "cgroup", time: "time" };

const checks: Record<string, Check> = {
  version: ({ spec: { ociVersion } }) => {
    if (!/^1\.\d+\.\d+([-+].*)?$/.test(ociVersion)) throw invalidParameter(`ociVersion ${JSON.stringify(ociVersion)} is not supported, this runtime knows 1.x`);
  },
  namespaces: ({ linux, host }) => {
    const seen = new Set<string>();
    linux.namespaces?.forEach(({ type, path }, index) => {
      const where = `linux.namespaces[${index}]`;
      const file = lookup(namespaceFiles, type);
      if (file === undefined) throw invalidParameter(`${where}.type ${JSON.stringify(type)} does not exist`);
      if (seen.has(type)) throw invalidParameter(`${where}: namespace ${type} is given twice`);
      if (path && (!path.startsWith("/") || path.includes("\0"))) throw invalidParameter(`${where}.path ${JSON.stringify(path)} is not an absolute path`);
      if (!host.namespaces.has(file)) throw invalidParameter(`${where}: this kernel has no ${type} namespaces`);
      seen.add(type);
    });
  },
  mountNamespace: ({ linux, own }) => {
    if (own.has("mount")) return;
    for (const field of ["maskedPaths", "readonlyPaths"] as const) {
      if (linux[field]?.length) throw invalidParameter(`linux.${field} cannot be set without a mount namespace`);
    }
  },
  unified: ({ linux, host }) => {
    if (Object.keys(linux.resources?.unified ?? {}).length > 0 && host.cgroups.mode !== "v2") throw invalidParameter("linux.resources.unified: invalid configuration: unified resources need cgroup v2, this machine has cgroup v1");
  },
  hostname: ({ spec, own }) => {
    for (const field of ["hostname", "domainname"] as const) {
      const name = spec[field];
      if (name && !own.has("uts")) throw invalidParameter(`${field} cannot be set without a uts namespace`);
      if (name && (Buffer.byteLength(name) > 64 || name.includes("\0"))) throw invalidParameter(`${field} ${JSON.stringify(name)} is longer than 64 bytes or contains NUL`);
    }
  },
  userNamespace: ({ linux, own }) => {
    const mapped = Boolean(linux.uidMappings?.length || linux.gidMappings?.length);
    const joined = Boolean(linux.namespaces?.find(({ type }) => type === "user")?.path);
    if (mapped && !own.has("user")) throw invalidParameter("linux.uidMappings and linux.gidMappings need a user namespace");
    if (own.has("user") && !joined && !(linux.uidMappings?.length && linux.gidMappings?.length)) throw invalidParameter("a new user namespace needs linux.uidMappings and linux.gidMappings");
  },
  timeNamespace: ({ linux, own }) => {
    if (linux.timeOffsets === undefined || Object.keys(linux.timeOffsets).length === 0) return;
    if (!own.has("time") || linux.namespaces?.find(({ type }) => type === "time")?.path) throw invalidParameter("linux.timeOffsets need a new time namespace");
    for (const clock of Object.keys(linux.timeOffsets)) if (clock !== "monotonic" && clock !== "boottime") throw invalidParameter(`linux.timeOffsets: unknown clock ${JSON.stringify(clock)}`);
  },
  scheduler: ({ spec, linux }) => {
    if (spec.process?.scheduler && linux.resources?.cpu?.cpus) throw invalidParameter("process.scheduler: a process scheduler can't be used together with AllowedCPUs (linux.resources.cpu.cpus)");
  },
  labels: ({ linux, host }) => {
    if (!linux.mountLabel) return;
    if (host.selinux) throw notImplemented("linux.mountLabel is not supported: mounts keep the labels that SELinux gives them");
    throw invalidParameter("linux.mountLabel is given, but SELinux is not enabled on this machine");
  },
  hooks: ({ spec }) => {
    for (const [name, hooks] of Object.entries(spec.hooks ?? {})) {
      hooks?.forEach(({ path, timeout }, index) => {
        if (!path.startsWith("/") || path.includes("\0")) throw invalidParameter(`hooks.${name}[${index}].path ${JSON.stringify(path)} is not an absolute path`);
        if (timeout !== undefined && timeout <= 0) throw invalidParameter(`hooks.${name}[${index}].timeout ${timeout} is not above 0`);
      });
    }
  },
  netDevices: ({ linux, own }) => {
    const devices = Object.entries(linux.netDevices ?? {});
    if (devices.length > 0 && !own.has("network")) throw invalidParameter("linux.netDevices: network devices cannot be moved without a network namespace");
    const names = new Set<string>();
    for (const [name, device] of devices) {
      for (const one of [name, device.name || name]) if (!isDeviceName(one)) throw invalidParameter(`linux.netDevices.${name}: invalid network device name ${JSON.stringify(one)}`);
      if (names.has(device.name || name)) throw invalidParameter(`linux.netDevices.${name}: the name ${JSON.stringify(device.name || name)} is given twice`);
      names.add(device.name || name);
    }
  },
  intelRdt: ({ linux }) => {
    if (linux.intelRdt) throw notImplemented("linux.intelRdt is not supported: gantry-runtime does not do Intel RDT");
  },
  paths: ({ linux }) => {
    for (const field of ["maskedPaths", "readonlyPaths"] as const) {
      linux[field]?.forEach((path, index) => {
        if (!path.startsWith("/") || path.includes("\0")) throw invalidParameter(`linux.${field}[${index}] ${JSON.stringify(path)} is not an absolute path`);
      });
    }
  },
};

/** net/core/dev.c, dev_valid_name: IFNAMSIZ with its zero byte. */
const isDeviceName = (name: string): boolean => /^[^/:\s]{1,15}$/.test(name) && name !== "." && name !== ".." && Buffer.byteLength(name) <= 15;

export function checkSpec(context: CheckContext): void {
  for (const check of Object.values(checks)) check(context);
}
