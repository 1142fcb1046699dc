/** Writing a container's processes to files, by criu. */
import { closeSync, existsSync, openSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemError } from "../../lib/errors.ts";
import type { OciSpec } from "../../lib/oci-spec.ts";
import { openDirectory, openInRoot } from "../../sys/archive.ts";
import { textOf } from "../host.ts";
import type { ChildOp } from "../plan/types.ts";
import type { Notified } from "./client.ts";
import { callCriu, requireCriu } from "./client.ts";
import { descriptorsOf, descriptorsPath, externalMounts, externalNamespaces, isExternalFile, logHint, maskedPaths, maskSource, streamsOf } from "./images.ts";
import type { CriuOptions } from "./message.ts";
import { request } from "./message.ts";
import { standardOptions } from "./options.ts";

/** Not in the standard library's constants. */
const O_PATH = 0o10000000;

export const dumpLog = "dump.log";

export interface Dumped {
  pid: number;
  spec: OciSpec;
  /** Of the container's plan. */
  child: readonly ChildOp[];
  cgroups: readonly string[];
  /** What its first three fds were at the beginning; absent: what they are. */
  descriptors?: readonly string[] | undefined;
}

/** What criu needs to know of any container. */
export const ownOptions = ({ pid, spec, cgroups }: Dumped): Pick<CriuOptions, "pid" | "external" | "freezeCgroup"> => ({
  pid,
  // Its path may lead nowhere any more.
  external: externalNamespaces(spec).map(({ name, key }) => `${name}[${statSync(`/proc/${pid}/ns/${name}`).ino}]:${key}`),
  ...freezerOf(cgroups),
});

function freezerOf(cgroups: readonly string[]): Pick<CriuOptions, "freezeCgroup"> {
  const freezer = cgroups.find((group) => existsSync(join(group, "freezer.state"))) ?? cgroups.find((group) => existsSync(join(group, "cgroup.freeze")));
  return freezer === undefined ? {} : { freezeCgroup: freezer };
}

/** What is not the container's own, which restore finds by these names and by what is written to `folder`; an image of memory alone does not need it. */
export function outsideOptions({ pid, child, descriptors }: Dumped, folder: string): Required<Pick<CriuOptions, "externalMounts" | "external">> {
  using mounted = mountsOf(pid);
  const externals = [
    ...externalMounts(child).flatMap(({ target }) => mounted.at(target).map((path): [string, string] => [path, target])),
    ...maskedPaths(child).flatMap((target) => mounted.at(target, "file").map((path): [string, string] => [path, maskSource])),
  ];
  const streams = descriptorsOf(pid, descriptors ?? streamsOf(`/proc/${pid}`));
  writeFileSync(descriptorsPath(folder), JSON.stringify(streams), { mode: 0o600 });
  return { externalMounts: externals, external: streams.filter(isExternalFile) };
}

/** The container's mountpoints; links in a path are followed in its root. */
function mountsOf(pid: number): Disposable & { at: (path: string, kind?: "file") => string[] } {
  const root = openDirectory(`/proc/${pid}/root`);
  const mountpoints = new Set(textOf(`/proc/${pid}/mountinfo`).split("\n").map((line) => line.split(" ")[4]?.replaceAll(/\\(\d{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)))));
  const at = (path: string, kind?: "file"): string[] => {
    let fd: number;
    try {
      fd = openInRoot(root, path, O_PATH);
    } catch {
      return [];
    }
    try {
      const real = readlinkSync(`/proc/self/fd/${fd}`);
      return mountpoints.has(real) && !(kind === "file" && statSync(`/proc/self/fd/${fd}`).isDirectory()) ? [real] : [];
    } finally {
      closeSync(fd);
    }
  };
  return { at, [Symbol.dispose]: () => closeSync(root) };
}

/** `log`: the folder of criu's log. */
export async function runDump(type: number, options: CriuOptions, log: string, notified?: Notified): Promise<void> {
  await callCriu({ type, options: { ...options, logFile: dumpLog } }, notified).catch((error: unknown) => {
    throw systemError(`${(error as Error).message}${logHint(join(log, dumpLog))}`, error);
  });
}

/** Everything into one folder that exists. */
export async function dumpTo(folder: string, container: Dumped, { leaveRunning }: { leaveRunning: boolean }): Promise<void> {
  await requireCriu();
  const images = openSync(folder, "r");
  try {
    const own = ownOptions(container);
    const outside = outsideOptions(container, folder);
    await runDump(request.dump, { ...standardOptions(images, container.spec.annotations), ...own, ...outside, external: [...own.external!, ...outside.external], leaveRunning }, folder);
  } finally {
    closeSync(images);
  }
}
