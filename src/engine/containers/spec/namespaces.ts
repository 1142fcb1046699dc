/** linux.namespaces: new ones, the host's (none), or those of another container. */
import { GantryError, codeOf, messageOf } from "../../../lib/errors.ts";
import type { OciLinux } from "../../../lib/oci-spec.ts";
import { containerOf } from "../modes.ts";
import { userNamespaceOf } from "../user-namespace.ts";
import type { SpecInput } from "./host.ts";

type Namespaces = OciLinux["namespaces"] & {};

/** With the maps of a user namespace. */
export function namespacesOf(input: SpecInput): Pick<OciLinux, "namespaces" | "uidMappings" | "gidMappings"> {
  const others = kernelNamespaces(input);
  const { namespaces = [], ...maps } = userNamespaceOf(input, others.flatMap(({ path }) => /^\/proc\/(\d+)\//.exec(path ?? "")?.slice(1).map(Number) ?? []));
  return { namespaces: [...namespaces, ...others], ...maps };
}

function kernelNamespaces(input: SpecInput): Namespaces {
  const { hostConfig } = input.record;
  const result: Namespaces = [{ type: "mount" }];
  if (input.sandbox.netnsPath !== undefined) result.push({ type: "network", path: input.sandbox.netnsPath });
  else if (hostConfig.NetworkMode !== "host" || input.record.config.NetworkDisabled) result.push({ type: "network" });
  if (hostConfig.UTSMode !== "host") result.push({ type: "uts" });
  result.push(...ownOrJoined(input, "pid", hostConfig.PidMode), ...ownOrJoined(input, "ipc", hostConfig.IpcMode));
  if (hostConfig.CgroupnsMode === "private") result.push({ type: "cgroup" });
  return result;
}

function ownOrJoined(input: SpecInput, type: "pid" | "ipc", mode: string): Namespaces {
  if (mode === "host") return [];
  const other = containerOf(mode);
  if (!other) return [{ type }];
  const name = type === "pid" ? "PID" : "IPC";
  try {
    return [{ type, path: `/proc/${input.pidOf(other, name)}/ns/${type}` }];
  } catch (error) {
    throw new GantryError(codeOf(error), `failed to join ${name} namespace: ${messageOf(error)}`, { cause: error });
  }
}
