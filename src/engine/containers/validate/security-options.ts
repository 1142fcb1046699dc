/** HostConfig.SecurityOpt. */
import type { HostConfig } from "../../../core/container-config.ts";
import { systemError } from "../../../lib/errors.ts";
import { parseBool, quote } from "../../../lib/strconv.ts";

export interface SecurityOptions {
  noNewPrivileges: boolean;
  /** undefined: as privileged says. */
  writableCgroups: boolean | undefined;
  /** SELinux labels, as "disable" or "type:x". */
  labels: string[];
  /** "" when not asked for. */
  appArmor: string;
  /** "": the default profile; "unconfined"; or a profile as JSON. */
  seccomp: string;
}

/** Throws Docker's error for what it does not know. */
export function parseSecurityOptions(options: readonly string[] | null, noNewPrivileges = false): SecurityOptions {
  const result: SecurityOptions = { noNewPrivileges, writableCgroups: undefined, labels: [], appArmor: "", seccomp: "" };
  for (const option of options ?? []) apply(result, option);
  return result;
}

function apply(result: SecurityOptions, option: string): void {
  if (option === "no-new-privileges") result.noNewPrivileges = true;
  else if (option === "writable-cgroups") result.writableCgroups = true;
  else if (option === "disable") result.labels.push("disable");
  else applyPair(result, option);
}

/** KEY=VALUE, or with old clients KEY:VALUE. */
function applyPair(result: SecurityOptions, option: string): void {
  const at = option.indexOf(option.includes("=") ? "=" : ":");
  if (at < 0) throw systemError(`invalid --security-opt 1: ${quote(option)}`);
  const value = option.slice(at + 1);
  switch (option.slice(0, at)) {
    case "label":
      result.labels.push(value);
      break;
    case "apparmor":
      result.appArmor = value;
      break;
    case "seccomp":
      result.seccomp = value;
      break;
    case "no-new-privileges":
      result.noNewPrivileges = boolean(option, value);
      break;
    case "writable-cgroups":
      result.writableCgroups = boolean(option, value);
      break;
    default:
      throw systemError(`invalid --security-opt 2: ${quote(option)}`);
  }
}

function boolean(option: string, value: string): boolean {
  try {
    return parseBool(value);
  } catch {
    throw systemError(`invalid --security-opt 2: ${quote(option)}`);
  }
}

/** The profile of a container's processes: its own, or the one that containers have without a word; "" where there is none. */
export function appArmorProfileOf({ SecurityOpt, Privileged }: Pick<HostConfig, "SecurityOpt" | "Privileged">, usual = ""): string {
  const { appArmor } = parseSecurityOptions(SecurityOpt);
  if (appArmor !== "" || usual === "") return appArmor;
  return Privileged ? "unconfined" : usual;
}
