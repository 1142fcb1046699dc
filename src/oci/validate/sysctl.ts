/** Which sysctls belong to which namespace: only those of a namespace of the container's own may be set. */
import { invalidParameter } from "../../lib/errors.ts";
import type { OciNamespaceType } from "../../lib/oci-spec.ts";

const ipcSysctls = new Set(["kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall", "kernel/shmmax", "kernel/shmmni", "kernel/shm_rmid_forced"]);

/** A sysctl's path below /proc/sys. Names have dots as separators, or slashes if the first separator is one (sysctl.d(5)). */
export function sysctlPath(name: string): string {
  const separator = /[./]/.exec(name)?.[0];
  if (separator !== ".") return name;
  return name.replace(/[./]/g, (character) => (character === "." ? "/" : "."));
}

/** Refuses what would change the host. `own` are the container's own namespaces. Returns the path. */
export function checkSysctl(name: string, value: string, own: ReadonlySet<OciNamespaceType>): string {
  const path = sysctlPath(name);
  const where = `linux.sysctl ${JSON.stringify(name)}`;
  if (!/^[A-Za-z0-9_][^\0]*$/.test(path) || path.split("/").some((part) => part === "" || part === "." || part === "..")) throw invalidParameter(`${where} is not the name of a sysctl`);
  if (value.includes("\0")) throw invalidParameter(`${where}: the value contains NUL`);
  const namespace = namespaceOf(path);
  if (namespace === undefined) throw invalidParameter(`${where} is not in a separate kernel namespace`);
  if (path === "kernel/hostname") throw invalidParameter(`${where} is not allowed: use the field hostname`);
  if (!own.has(namespace)) throw invalidParameter(`${where} is not allowed in the host ${namespace} namespace`);
  return path;
}

function namespaceOf(path: string): OciNamespaceType | undefined {
  if (ipcSysctls.has(path) || path.startsWith("fs/mqueue/")) return "ipc";
  if (path.startsWith("net/")) return "network";
  if (path === "kernel/domainname" || path === "kernel/hostname") return "uts";
  if (path.startsWith("user/")) return "user";
  return undefined;
}
