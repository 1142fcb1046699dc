/** What of a container is not its own for criu: mounts from the host, joined namespaces, and its streams. */
import { readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import type { OciNamespaceType, OciSpec } from "../../lib/oci-spec.ts";
import { textOf } from "../host.ts";
import type { ChildOp } from "../plan/types.ts";

/** Beside criu's images: the names of init's first three fds, by which restore gives it others. runc has the same file. */
const descriptorsFile = "descriptors.json";

/** What criu calls every mount on a masked file. */
export const maskSource = "/dev/null";

export interface ExternalMount {
  /** In the container, as the configuration has it. */
  target: string;
  source: string;
}

/** Mounts whose file systems are the host's. A device node is one where it cannot be made. */
export function externalMounts(ops: readonly ChildOp[]): ExternalMount[] {
  return ops.flatMap((op): ExternalMount[] => {
    if (op.op === "mknod") return op.bindFallback ? [{ target: op.target, source: op.target }] : [];
    if (op.op === "cgroupMount") return op.hierarchies.filter(({ hostPath }) => hostPath !== "").map(({ name, hostPath }) => ({ target: op.unified ? op.target : join(op.target, name), source: hostPath }));
    if (op.op !== "bind") return [];
    if (op.idmap) throw invalidParameter(`the mount at ${op.target} maps ids, which criu does not save`);
    return [{ target: op.target, source: op.source }];
  });
}

export const maskedPaths = (ops: readonly ChildOp[]): string[] => ops.flatMap((op) => (op.op === "maskPath" ? [op.target] : []));

/** Of other kinds of namespaces criu itself makes or joins one. */
const externalKinds: Partial<Record<OciNamespaceType, { name: string; key: string }>> = { network: { name: "net", key: "extRootNetNS" }, pid: { name: "pid", key: "extRootPidNS" } };
const joinNames: Partial<Record<OciNamespaceType, string>> = { mount: "mnt", ipc: "ipc", uts: "uts", user: "user", time: "time" };

export interface JoinedNamespace {
  name: string;
  /** By which restore finds it again. */
  key: string;
  path: string;
}

export const externalNamespaces = ({ linux }: OciSpec): JoinedNamespace[] =>
  (linux?.namespaces ?? []).flatMap(({ type, path }) => {
    const kind = externalKinds[type];
    return kind && path ? [{ ...kind, path }] : [];
  });

export const joinedByCriu = ({ linux }: OciSpec): [string, string][] =>
  (linux?.namespaces ?? []).flatMap(({ type, path }): [string, string][] => {
    if (!path || externalKinds[type]) return [];
    const name = joinNames[type];
    if (name === undefined) throw invalidParameter(`linux.namespaces: criu cannot join a ${type} namespace`);
    return [[name, path]];
  });

/** What a process has open as 0, 1 and 2: "pipe:[INODE]", "/path". "" for nothing. */
export const streamsOf = (proc: string): string[] => [0, 1, 2].map((fd) => readLink(`${proc}/fd/${fd}`));

function readLink(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

/**
 * criu's names for the streams that init was given: pipes by these. Files that are on none of the container's mounts are "file[MOUNT:INODE]", so
 * that a container that writes to a file of the host can be saved.
 */
export function descriptorsOf(pid: number, given: readonly string[]): string[] {
  const mounts = new Set(textOf(`/proc/${pid}/mountinfo`).split("\n").map((line) => line.split(" ")[0]));
  const now = streamsOf(`/proc/${pid}`);
  return given.map((name, fd) => {
    const mount = /^mnt_id:\s+(\d+)$/m.exec(textOf(`/proc/${pid}/fdinfo/${fd}`))?.[1];
    if (!now[fd]?.startsWith("/") || mount === undefined || mounts.has(mount)) return name;
    return `file[${Number(mount).toString(16)}:${statSync(`/proc/${pid}/fd/${fd}`).ino.toString(16)}]`;
  });
}

export const isExternalFile = (descriptor: string): boolean => descriptor.startsWith("file[");

/**
 * The streams that a restored process gets from whoever restores it. criu looks for a file by its path without the first character,
 * which is a slash in others, and takes what is found so as it is; by the whole name it takes the same file of the same size alone.
 */
export const inheritedStreams = (descriptors: readonly string[]): [key: string, fd: number][] =>
  descriptors.flatMap((name, fd): [string, number][] => (isExternalFile(name) ? [[name.slice(1), fd]] : name.startsWith("pipe:") ? [[name, fd]] : []));

export const descriptorsPath = (folder: string): string => join(folder, descriptorsFile);

export function readDescriptors(folder: string): string[] {
  try {
    const value: unknown = JSON.parse(readFileSync(descriptorsPath(folder), "utf8"));
    if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value.slice(0, 3);
    throw new Error("not a list of names");
  } catch (error) {
    throw invalidParameter(`${descriptorsPath(folder)}: ${messageOf(error)}: there is no checkpoint of a container`, error);
  }
}

/** Where to look further: the log, and its last lines about errors. */
export function logHint(log: string): string {
  const lines = textOf(log).split("\n").filter((text) => text.includes("Error")).slice(-3).map((line) => line.trim());
  return lines.length === 0 ? `; criu's log is ${log}` : `; criu's log ${log} ends with: ${lines.join(" | ")}`;
}
