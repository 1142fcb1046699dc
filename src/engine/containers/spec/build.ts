/** A container's record as an OCI configuration. Pure but for what SpecHost reads. */
import { join } from "node:path/posix";
import { ociVersion } from "../../../core/oci-defaults.ts";
import type { OciSeccomp, OciSpec } from "../../../lib/oci-spec.ts";
import { parseSecurityOptions } from "../validate/security-options.ts";
import { mapsOf } from "../user-namespace.ts";
import { devicesOf, renamedDevices } from "./devices.ts";
import type { CgroupDriver, SpecInput } from "./host.ts";
import { mountsOf } from "./mounts.ts";
import { namespacesOf } from "./namespaces.ts";
import { processOf } from "./process.ts";
import { defaultPids, resourcesOf } from "./resources.ts";
import { sysctlsOf } from "./sysctls.ts";

export function buildSpec(input: SpecInput): OciSpec {
  const { record, host, settings } = input;
  const { config, hostConfig } = record;
  const process = processOf(input);
  const { devices, rules } = devicesOf(record, host);
  const { mounts, rootfsPropagation } = mountsOf(input);
  const bound = mapsOf(settings, record) ? renamedDevices(record, host) : [];
  const seccomp = seccompOf(input, process.capabilities?.bounding ?? []);
  const hasOwnUts = hostConfig.UTSMode !== "host";
  return {
    ociVersion,
    process,
    root: { path: "rootfs", readonly: hostConfig.ReadonlyRootfs },
    ...(hasOwnUts && { hostname: config.Hostname }),
    ...(hasOwnUts && config.Domainname !== "" && { domainname: config.Domainname }),
    mounts: [...mounts, ...bound],
    ...(Object.keys(hostConfig.Annotations ?? {}).length > 0 && { annotations: hostConfig.Annotations as Record<string, string> }),
    linux: {
      ...namespacesOf(input),
      devices: devices.filter(({ path }) => !bound.some(({ destination }) => destination === path)),
      cgroupsPath: cgroupsPathOf(hostConfig.CgroupParent || settings.cgroupParent, record.id, settings.cgroupDriver),
      resources: { devices: rules, ...resourcesOf(hostConfig, host, defaultPids(hostConfig, settings)) },
      ...(rootfsPropagation !== undefined && { rootfsPropagation }),
      ...(seccomp && { seccomp }),
      sysctl: sysctlsOf(input),
      maskedPaths: hostConfig.Privileged ? [] : (hostConfig.MaskedPaths ?? []),
      readonlyPaths: hostConfig.Privileged ? [] : (hostConfig.ReadonlyPaths ?? []),
    },
  };
}

/** For systemd "slice:prefix:name", as of a scope. */
const cgroupsPathOf = (parent: string, id: string, driver: CgroupDriver): string => (driver === "systemd" ? `${parent}:gantry:${id}` : join("/", parent, id));

function seccompOf({ record, host }: SpecInput, capabilities: readonly string[]): OciSeccomp | undefined {
  const { seccomp } = parseSecurityOptions(record.hostConfig.SecurityOpt);
  // What is asked for by name holds for privileged containers as well.
  if (seccomp === "unconfined" || (seccomp === "" && record.hostConfig.Privileged)) return undefined;
  return seccomp === "" || seccomp === "builtin" ? host.seccomp.builtin(capabilities) : host.seccomp.parse(seccomp, capabilities);
}
