/** What checkpoint and restore have in common. */
import { closeSync, mkdirSync, openSync } from "node:fs";
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import type { FlagSpec, FlagValues } from "../../lib/flags.ts";
import { bool, list, string } from "../../lib/flags.ts";
import { lookup } from "../../lib/lookup.ts";
import type { CriuOptions } from "../criu/message.ts";
import { cgroupMode } from "../criu/message.ts";
import { standardOptions } from "../criu/options.ts";
import { path } from "./paths.ts";
import { isRootless } from "./rootless.ts";

export const criuFlags: FlagSpec[] = [
  { name: "image-path", type: path, default: "checkpoint" },
  { name: "work-path", type: path },
  { name: "tcp-established", type: bool },
  { name: "ext-unix-sk", type: bool },
  { name: "shell-job", type: bool },
  { name: "lazy-pages", type: bool },
  { name: "file-locks", type: bool },
  { name: "manage-cgroups-mode", type: string },
  { name: "empty-ns", type: list },
  { name: "auto-dedup", type: bool },
];

export function requireRoot(): void {
  if (isRootless()) throw invalidParameter("checkpoint and restore need root, as criu does");
}

export interface Folders extends Disposable {
  images: number;
  work?: number;
  /** Where criu's log is. */
  log: string;
}

/** Open for criu, which reaches them by /proc/PID/fd of its caller. */
export function openFolders(flags: FlagValues, { create }: { create: boolean }): Folders {
  const [images, work] = [flags.string("image-path"), flags.string("work-path")];
  if (create) mkdirSync(images, { recursive: true, mode: 0o700 });
  if (work !== "") mkdirSync(work, { recursive: true, mode: 0o700 });
  const opened = [openFolder("image-path", images), ...(work === "" ? [] : [openFolder("work-path", work)])];
  return { images: opened[0]!, ...(opened[1] !== undefined && { work: opened[1] }), log: work || images, [Symbol.dispose]: () => opened.forEach((fd) => closeSync(fd)) };
}

function openFolder(flag: string, folder: string): number {
  try {
    return openSync(folder, "r");
  } catch (error) {
    throw invalidParameter(`--${flag}: ${messageOf(error)}`, error);
  }
}

export function commonOptions(flags: FlagValues, { images, work }: Folders, annotations?: Readonly<Record<string, string>>): CriuOptions {
  const mode = lookup(cgroupMode, flags.string("manage-cgroups-mode"));
  if (mode === undefined) throw invalidParameter(`invalid manage-cgroups-mode value ${JSON.stringify(flags.string("manage-cgroups-mode"))}: it is soft, full, strict or ignore`);
  for (const name of flags.list("empty-ns")) if (name !== "network") throw invalidParameter(`--empty-ns: namespace ${JSON.stringify(name)} is not supported`);
  return {
    ...standardOptions(images, annotations, mode),
    ...(work !== undefined && { workDirFd: work }),
    tcpEstablished: flags.bool("tcp-established"),
    externalUnixSockets: flags.bool("ext-unix-sk"),
    shellJob: flags.bool("shell-job"),
    fileLocks: flags.bool("file-locks"),
    lazyPages: flags.bool("lazy-pages"),
    autoDedup: flags.bool("auto-dedup"),
  };
}
