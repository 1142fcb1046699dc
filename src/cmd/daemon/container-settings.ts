/** The daemon's settings as the containers' use cases take them. */
import type { ContainerSettings } from "../../engine/containers/context.ts";
import { hostPlatform } from "../../lib/platform.ts";
import type { UserMaps } from "../../lib/user-maps.ts";
import type { DaemonConfig } from "./config.ts";
import { runtimesFor } from "./runtimes.ts";

/** Containers' cgroups are below this when neither the container nor the daemon says otherwise. */
const CGROUP_PARENT = { cgroupfs: "/gantry", systemd: "system.slice" };

export function containerSettings({ dataRoot, containers }: DaemonConfig, { hostname, cgroupVersion, userMaps, appArmorProfile }: { hostname: string; cgroupVersion: 1 | 2; userMaps: UserMaps | undefined; appArmorProfile: string | undefined }): ContainerSettings {
  return {
    runtimes: runtimesFor(containers),
    ipcMode: containers.ipcMode,
    cgroupnsMode: containers.cgroupnsMode ?? (cgroupVersion === 2 ? "private" : "host"),
    shmSize: containers.shmSize,
    logConfig: { Type: containers.log.driver, Config: containers.log.options },
    hostname,
    hostPlatform: hostPlatform(),
    cgroupParent: containers.cgroupParent === "" ? CGROUP_PARENT[containers.cgroupDriver] : containers.cgroupParent,
    cgroupDriver: containers.cgroupDriver,
    dataRoot,
    init: containers.init,
    ulimits: Object.fromEntries(containers.ulimits.map(({ name, soft, hard }) => [name, { soft, hard }])),
    pidsLimit: containers.pidsLimit,
    noNewPrivileges: containers.noNewPrivileges,
    ...(userMaps && { userMaps }),
    ...(appArmorProfile !== undefined && { appArmorProfile }),
  };
}
