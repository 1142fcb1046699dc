/** This machine, as the making of containers' configurations sees it. */
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import type { SeccompProfiles } from "../../core/seccomp.ts";
import type { SpecHost } from "../../engine/containers/spec/host.ts";
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import type { OciSeccomp } from "../../lib/oci-spec.ts";
import type { HostFacts } from "../../oci/host.ts";
import { seccompProfiles } from "../../oci/seccomp/profiles.ts";
import { nativeDir } from "../../sys/addon.ts";
import { allDevices, devicesAt } from "../../sys/device-nodes.ts";
import { mountOf } from "../../sys/mount-table.ts";
import type { ContainerDefaults } from "./config.ts";

/** `seccompProfile`: a path, "builtin" or "unconfined". */
export function specHost(host: HostFacts, { seccompProfile, initPath }: Pick<ContainerDefaults, "seccompProfile" | "initPath">): SpecHost {
  return {
    devicesAt,
    allDevices,
    mountOf: (path) => mountOf(path),
    isMountpoint: (path) => existsSync(path) && mountOf(path).mountpoint === path,
    hasSysctl: (name) => existsSync(join("/proc/sys", name.replaceAll(".", "/"))),
    seccomp: defaultProfile(seccompProfiles(host), seccompProfile),
    userNamespaceOf: (pid) => readlinkSync(`/proc/${pid}/ns/user`),
    initPath: initPath === "" ? join(nativeDir, "gantry-init") : resolve(initPath),
  };
}

/** What containers have that choose none: Docker's, a file's, or no filter at all. */
function defaultProfile(profiles: SeccompProfiles, profile: string): SeccompProfiles {
  if (profile === "builtin") return profiles;
  if (profile === "unconfined") return { ...profiles, builtin: () => undefined };
  const text = textOf(profile);
  checked(profile, () => profiles.parse(text, []));
  return { ...profiles, builtin: (capabilities): OciSeccomp | undefined => profiles.parse(text, capabilities) };
}

const textOf = (path: string): string => checked(path, () => readFileSync(path, "utf8"));

function checked<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw invalidParameter(`opening seccomp profile (${path}) failed: ${messageOf(error)}`, error);
  }
}
