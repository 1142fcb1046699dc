/** The process of a container, and of an exec in it. */
import type { ContainerRecord } from "../../../core/container.ts";
import { capabilityNames, defaultCapabilities } from "../../../core/oci-defaults.ts";
import type { OciProcess } from "../../../lib/oci-spec.ts";
import type { ExecConfig } from "../exec/instance.ts";
import { commandOf } from "../inspect.ts";
import { resolveCapabilities } from "../validate/capabilities.ts";
import { appArmorProfileOf, parseSecurityOptions } from "../validate/security-options.ts";
import type { SpecInput, SpecSettings } from "./host.ts";
import { hasInit, INIT_PATH } from "./mounts.ts";

const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export function processOf(input: SpecInput): OciProcess {
  const { record, settings } = input;
  const { config, hostConfig } = record;
  const command = commandOf(record);
  return {
    ...common(record, settings),
    terminal: config.Tty,
    user: userOf(config.User, hostConfig.GroupAdd),
    args: hasInit(input) ? [INIT_PATH, "--", ...command] : command,
    env: override(environment(record, config.Tty, input.sandbox.env ?? []), config.Env ?? []),
    cwd: config.WorkingDir || "/",
    capabilities: capabilitySets(resolveCapabilities(defaultCapabilities, hostConfig)),
    oomScoreAdj: hostConfig.OomScoreAdj,
  };
}

/** Settings that `exec` leaves out are the container's. */
export function execProcessOf(record: ContainerRecord, exec: ExecConfig, settings: SpecSettings): OciProcess {
  const { config, hostConfig } = record;
  const capabilities = exec.privileged ? [...capabilityNames] : resolveCapabilities(defaultCapabilities, hostConfig);
  const containerEnv = environment(record, exec.tty, config.Env ?? []);
  return {
    ...common(record, settings),
    terminal: exec.tty,
    ...(exec.consoleSize && { consoleSize: exec.consoleSize }),
    user: userOf(exec.user || config.User, hostConfig.GroupAdd),
    args: exec.cmd,
    env: override(containerEnv, exec.env),
    cwd: exec.workingDir || config.WorkingDir || "/",
    capabilities: capabilitySets(capabilities),
  };
}

function common({ hostConfig }: ContainerRecord, settings: SpecSettings): Pick<OciProcess, "rlimits" | "noNewPrivileges" | "apparmorProfile"> {
  const { noNewPrivileges } = parseSecurityOptions(hostConfig.SecurityOpt, settings.noNewPrivileges);
  const appArmor = appArmorProfileOf(hostConfig, settings.appArmorProfile);
  return {
    rlimits: rlimitsOf(hostConfig.Ulimits, settings),
    noNewPrivileges,
    ...(appArmor !== "" && appArmor !== "unconfined" && { apparmorProfile: appArmor }),
  };
}

/** Names are resolved inside the root file system; no user is root, with root's groups. */
function userOf(user: string, groups: string[] | null): OciProcess["user"] {
  return { uid: 0, gid: 0, username: user || "0", ...((groups?.length ?? 0) > 0 && { additionalGroups: groups as string[] }) };
}

function capabilitySets(names: string[]): OciProcess["capabilities"] & {} {
  return { bounding: names, effective: names, permitted: names };
}

function rlimitsOf(ulimits: ContainerRecord["hostConfig"]["Ulimits"], settings: SpecSettings): OciProcess["rlimits"] & {} {
  const asked = (ulimits ?? []).flatMap((limit) => (limit ? [{ name: limit.Name, soft: limit.Soft, hard: limit.Hard }] : []));
  const names = new Set(asked.map((limit) => limit.name));
  const defaults = Object.entries(settings.ulimits).flatMap(([name, limit]) => (names.has(name) ? [] : [{ name, ...limit }]));
  return [...asked, ...defaults].map(({ name, soft, hard }) => ({ type: `RLIMIT_${name.toUpperCase()}`, soft, hard }));
}

/** HOME is the executor's: it knows the user. */
function environment({ config }: ContainerRecord, terminal: boolean, own: readonly string[]): string[] {
  return override([PATH, `HOSTNAME=${config.Hostname}`, ...(terminal ? ["TERM=xterm"] : [])], own);
}

/** NAME=VALUE replaces or adds, NAME alone takes away. */
function override(base: readonly string[], changes: readonly string[]): string[] {
  const result: (string | undefined)[] = [...base];
  const nameOf = (entry: string): string => entry.split("=", 1)[0] as string;
  const positions = new Map(base.map((entry, index) => [nameOf(entry), index]));
  for (const change of changes) {
    const position = positions.get(nameOf(change));
    if (!change.includes("=")) {
      if (position !== undefined) result[position] = undefined;
    } else if (position === undefined) {
      result.push(change);
    } else {
      result[position] = change;
    }
  }
  return result.filter((entry) => entry !== undefined);
}
