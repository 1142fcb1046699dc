/**
 * What another runtime reads: a bundle in the task's run folder, and files of its commands beside it.
 *
 *   bundle/config.json   the configuration that our own runtime would get, with numbers for names
 *   bundle/rootfs        where the root file system is mounted, seen by the "create" command alone
 *   state/               the runtime's own (--root)
 *   *.log, e*            errors of commands; an exec's process, pid file and console socket
 */
import { closeSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RootfsMount, StdioRequest, TaskRequest } from "../../core/runtime.ts";
import { invalidParameter } from "../../lib/errors.ts";
import type { OciProcess, OciSpec } from "../../lib/oci-spec.ts";
import { readInRoot } from "../../sys/inroot.ts";
import { givenCapabilities } from "../compile/capabilities.ts";
import { openRoot } from "../rootfs-view.ts";
import { numericUser, type ReadRoot } from "./users.ts";

/** Runtimes of Debian 12 refuse later ones (crun 1.8.1); none that takes fields of later ones asks for their number. */
const OCI_VERSION = "1.0.2";
const USER_DATABASE_BYTES = 16 << 20;

export const bundleOf = (folder: string): string => join(folder, "bundle");
export const rootOf = (folder: string): string => join(folder, "bundle", "rootfs");

/** Throws when the configuration asks for what only our own runtime can do. */
export async function writeBundle(folder: string, request: TaskRequest, capabilities: bigint): Promise<void> {
  refuseShared(request.spec);
  if (request.spec.linux?.namespaces?.some(({ type }) => type === "user") === true) throw invalidParameter("user namespaces are supported by the default runtime only: with --userns-remap use --userns=host, or leave --runtime out");
  const spec = await numericSpec(request, capabilities);
  rmSync(bundleOf(folder), { recursive: true, force: true });
  mkdirSync(rootOf(folder), { recursive: true, mode: 0o700 });
  mkdirSync(join(folder, "state"), { recursive: true, mode: 0o700 });
  writeFileSync(join(bundleOf(folder), "config.json"), configText(spec), { mode: 0o600 });
}

/** The root is mounted out of the host's sight, where mounts of containers do not reach the host. */
function refuseShared({ mounts = [], linux }: OciSpec): void {
  const shared = mounts.find(({ options = [] }) => options.includes("shared") || options.includes("rshared"));
  if (shared !== undefined || linux?.rootfsPropagation?.endsWith("shared") === true) throw invalidParameter(`mount propagation "shared"${shared === undefined ? "" : ` of ${shared.destination}`} is supported by the default runtime only`);
}

async function numericSpec({ spec, rootfs, netnsFd, stdio }: TaskRequest, capabilities: bigint): Promise<OciSpec> {
  const namespaces = spec.linux?.namespaces?.map((namespace) => (namespace.type === "network" && netnsFd !== undefined ? { type: namespace.type, path: `/proc/${process.pid}/fd/${netnsFd}` } : namespace));
  return {
    ...spec,
    ociVersion: OCI_VERSION,
    root: { path: "rootfs", readonly: (spec.root?.readonly ?? false) || rootfs.some((mount) => mount.type === "bind" && mount.readonly) },
    ...(spec.process && { process: await plainProcess(spec.process, { read: readerOf(rootfs), stdio, capabilities }) }),
    ...(spec.linux && { linux: { ...spec.linux, ...(namespaces && { namespaces }) } }),
  };
}

export interface ProcessFacts {
  read: ReadRoot;
  stdio: StdioRequest;
  /** What this machine can give. */
  capabilities: bigint;
}

/** Without names of users, and without what no runtime could give. */
export async function plainProcess(process: OciProcess, { read, stdio: { terminal, consoleSize }, capabilities }: ProcessFacts): Promise<OciProcess> {
  return {
    ...process,
    terminal,
    ...(terminal && consoleSize && { consoleSize }),
    ...(process.capabilities && { capabilities: givenCapabilities(process.capabilities, capabilities) }),
    user: await numericUser(process.user, read),
  };
}

/** Of a container that is not there yet. */
function readerOf(mounts: readonly RootfsMount[]): ReadRoot {
  return async (path) => {
    const [fd] = openRoot(mounts);
    try {
      return (await readInRoot(`/proc/self/fd/${fd}`, path, USER_DATABASE_BYTES))?.toString();
    } finally {
      closeSync(fd);
    }
  };
}

/** Of one that runs. */
export const readerOfProcess = (pid: number): ReadRoot => async (path) => (await readInRoot(`/proc/${pid}/root`, path, USER_DATABASE_BYTES))?.toString();

/** What JSON's numbers cannot hold is written out: arguments of seccomp filters, and "unlimited". */
export function configText(value: object): string {
  return JSON.stringify(value, (key, one: unknown) => {
    if (typeof one === "bigint") return JSON.rawJSON(one.toString());
    return (key === "soft" || key === "hard") && typeof one === "number" && (one === -1 || one >= 2 ** 64 - 1024) ? JSON.rawJSON("18446744073709551615") : one;
  });
}
