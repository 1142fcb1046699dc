/** The daemon's settings as the containers' use cases take them. */
import type { ContainerSettings } from "../../engine/containers/context.ts";
import { hostPlatform } from "../../lib/platform.ts";
import type { DaemonConfig } from "./config.ts";

/** Containers' cgroups are below this when neither the container nor the daemon says otherwise. */
const CGROUP_PARENT = "/gantry";

/** Docker's names of its built-in runtime: who asks for it gets ours. */
const ALIASES = ["runc", "io.containerd.runc.v2"];

export function containerSettings({ dataRoot, containers }: DaemonConfig, { hostname, cgroupVersion }: { hostname: string; cgroupVersion: 1 | 2 }): ContainerSettings {
  return {
    runtimes: [containers.runtime, ...ALIASES],
    ipcMode: containers.ipcMode,
    cgroupnsMode: containers.cgroupnsMode ?? (cgroupVersion === 2 ? "private" : "host"),
    shmSize: containers.shmSize,
    logConfig: { Type: containers.log.driver, Config: containers.log.options },
    hostname,
    hostPlatform: hostPlatform(),
    cgroupParent: containers.cgroupParent === "" ? CGROUP_PARENT : containers.cgroupParent,
    dataRoot,
    init: containers.init,
    ulimits: Object.fromEntries(containers.ulimits.map(({ name, soft, hard }) => [name, { soft, hard }])),
    noNewPrivileges: containers.noNewPrivileges,
  };
}
