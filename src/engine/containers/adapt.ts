/** Settings that follow from others or from the daemon's own. Changes a HostConfig in place. */
import type { HostConfig } from "../../core/container-config.ts";
import { defaultMaskedPaths, defaultReadonlyPaths } from "../../core/oci-defaults.ts";
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import type { ContainersContext } from "./context.ts";
import { containerOf } from "./modes.ts";

/** Throws Docker's errors for namespaces of containers that do not exist. */
export function adaptHostConfig(hostConfig: HostConfig, { settings, store, kernel }: Pick<ContainersContext, "settings" | "store" | "kernel">): void {
  if (hostConfig.Memory > 0 && hostConfig.MemorySwap === 0) hostConfig.MemorySwap = hostConfig.Memory * 2;
  hostConfig.ShmSize ||= settings.shmSize;
  hostConfig.IpcMode ||= settings.ipcMode;
  hostConfig.CgroupnsMode ||= hostConfig.Privileged && kernel.cgroupVersion === 1 ? "host" : settings.cgroupnsMode;
  for (const key of ["PidMode", "IpcMode", "NetworkMode"] as const) hostConfig[key] = withId(hostConfig[key], store);
  const labels = impliedLabels(hostConfig, store);
  if (labels.length > 0) hostConfig.SecurityOpt = [...(hostConfig.SecurityOpt ?? []), ...labels];
  hostConfig.OomKillDisable ??= false;
  if (!hostConfig.Privileged) {
    hostConfig.MaskedPaths ??= [...defaultMaskedPaths, ...kernel.thermalPaths];
    hostConfig.ReadonlyPaths ??= [...defaultReadonlyPaths];
  }
}

/** "container:NAME" with the id in place of the name, so that a rename does not break it. A missing container is left for later checks. */
function withId(mode: string, store: ContainersContext["store"]): string {
  const name = containerOf(mode);
  if (name === undefined) return mode;
  try {
    return `container:${store.find(name).id}`;
  } catch {
    return mode;
  }
}

/** SELinux separation ends where namespaces are shared. */
function impliedLabels(hostConfig: HostConfig, store: ContainersContext["store"]): string[] {
  if ((hostConfig.SecurityOpt ?? []).some((option) => option.split("=", 1)[0] === "label")) return [];
  if (hostConfig.IpcMode === "host" || hostConfig.PidMode === "host" || hostConfig.Privileged) return ["label=disable"];
  for (const mode of [hostConfig.IpcMode, hostConfig.PidMode]) requireContainer(containerOf(mode), store);
  return [];
}

function requireContainer(ref: string | undefined, store: ContainersContext["store"]): void {
  if (!ref) return;
  try {
    store.find(ref);
  } catch (error) {
    throw invalidParameter(messageOf(error), error);
  }
}
