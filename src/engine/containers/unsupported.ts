/**
 * What Docker has and this version has not. A setting is refused at create when nothing else can come of it; where Docker
 * accepts a setting and fails only at the start, so does this engine.
 */
import type { ContainerRecord } from "../../core/container.ts";
import { LOG_DRIVERS } from "../../core/log.ts";
import type { KernelSupport } from "../../core/kernel-support.ts";
import { notImplemented, type GantryError } from "../../lib/errors.ts";
import { quote } from "../../lib/strconv.ts";
import { parseSecurityOptions } from "./validate/security-options.ts";

type Settings = Pick<ContainerRecord, "config" | "hostConfig" | "networkingConfig">;

/** Throws for what a container asks for that cannot be given to it here, naming it. For the start, before any side effect. */
export function refuseAtStart(record: Settings, kernel: KernelSupport): void {
  for (const refusal of refusals) {
    const found = refusal(record, kernel);
    if (found !== undefined) throw typeof found === "string" ? notImplemented(found) : found;
  }
}

type Refusal = (record: Settings, kernel: KernelSupport) => string | GantryError | undefined;

const logDriver: Refusal = ({ hostConfig: { LogConfig: log } }) => {
  if (log.Type === "none" || LOG_DRIVERS.includes(log.Type)) return undefined;
  return `log driver ${quote(log.Type)} is not implemented: use ${LOG_DRIVERS.join(", ")} or none`;
};

const securityLabels: Refusal = ({ hostConfig }, kernel) => {
  const { labels, appArmor } = parseSecurityOptions(hostConfig.SecurityOpt);
  const label = labels.find((one) => one !== "disable");
  if (label !== undefined) return `security option "label=${label}": SELinux labels are not implemented yet`;
  if (appArmor === "" || appArmor === "unconfined") return undefined;
  return kernel.appArmor ? undefined : `security option "apparmor=${appArmor}": this kernel has no AppArmor`;
};

const userNamespace: Refusal = ({ hostConfig: { UsernsMode: mode } }) => (["", "host", "private"].includes(mode) ? undefined : `user namespace mode ${quote(mode)} is not implemented: use "host", "private" or none`);

const cgroupOfContainer: Refusal = ({ hostConfig }) => (hostConfig.Cgroup === "" ? undefined : `HostConfig.Cgroup ${quote(hostConfig.Cgroup)} is not implemented`);

const refusals: readonly Refusal[] = [logDriver, securityLabels, userNamespace, cgroupOfContainer];
