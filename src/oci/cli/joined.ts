/** What is to be known of namespaces that a configuration joins by their paths. */
import type { Stats } from "node:fs";
import { readdirSync, statSync } from "node:fs";
import type { OciIdMapping, OciNamespaceType, OciSpec } from "../../lib/oci-spec.ts";
import type { CompileOptions } from "../compile/compile.ts";
import { textOf } from "../host.ts";

export function joinedNamespaces({ linux }: OciSpec): Pick<CompileOptions, "joinsHostNetwork" | "joinedIdMaps"> {
  const pathOf = (wanted: OciNamespaceType): string | undefined => linux?.namespaces?.find(({ type }) => type === wanted)?.path;
  const [network, user] = [pathOf("network"), pathOf("user")];
  const member = user ? memberOf(user) : undefined;
  return {
    joinsHostNetwork: Boolean(network) && isSame(network!, "/proc/self/ns/net"),
    ...(member !== undefined && { joinedIdMaps: { uidMappings: mapOf(`/proc/${member}/uid_map`), gidMappings: mapOf(`/proc/${member}/gid_map`) } }),
  };
}

function isSame(path: string, other: string): boolean {
  const [one, two] = [path, other].map(statOf);
  return one !== undefined && two !== undefined && one.ino === two.ino && one.dev === two.dev;
}

/** Undefined for what is not there, or of a process that is ending. */
function statOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

/** A process in the user namespace; undefined when nobody is. */
function memberOf(path: string): string | undefined {
  const named = /^\/proc\/(\d+)\/ns\/user$/.exec(path)?.[1];
  return named ?? readdirSync("/proc").find((name) => /^\d+$/.test(name) && isSame(path, `/proc/${name}/ns/user`));
}

/** user_namespaces(7): "inside outside length" lines, as seen from this process's namespace. */
const mapOf = (path: string): OciIdMapping[] =>
  [...textOf(path).matchAll(/^\s*(\d+)\s+(\d+)\s+(\d+)$/gm)].map(([, containerID, hostID, size]) => ({ containerID: Number(containerID), hostID: Number(hostID), size: Number(size) }));
