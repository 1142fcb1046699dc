/** `docker cp`: looking at, reading and writing files of a container, whether it runs or not. */
import { posix } from "node:path";
import { KindConflict, type ContainerView, type FileStat } from "../../../core/container-files.ts";
import type { ContainerRecord } from "../../../core/container.ts";
import { GantryError, invalidParameter, messageOf, notFound, systemError } from "../../../lib/errors.ts";
import { rfc3339Nano } from "../../../lib/rfc3339.ts";
import { quote } from "../../../lib/strconv.ts";
import { ownerOf } from "../../../lib/user-database.ts";
import type { ContainersContext } from "../context.ts";
import { emit } from "../lifecycle/state.ts";
import { errnoText } from "./errno.ts";
import { withFiles } from "./view.ts";

/** As Docker's X-Docker-Container-Path-Stat has it. */
export interface PathStat {
  name: string;
  size: number;
  /** Bits of Go's os.FileMode. */
  mode: number;
  mtime: string;
  linkTarget: string;
}

export interface CopyOut {
  stat: PathStat;
  bytes: AsyncIterable<Uint8Array>;
}

export interface CopyIn {
  path: string;
  bytes: AsyncIterable<Uint8Array>;
  /** No folder in place of something else, nor the other way round. */
  keepKind: boolean;
  /** Files get the owner that the container's program runs as. */
  copyOwner: boolean;
}

const MOST_USERS = 1 << 20;

export function statPath(context: ContainersContext, ref: string, path: string): Promise<PathStat> {
  return withFiles(context, ref, { mounts: true, exclusive: false }, async ({ view }) => asked(ref, path, (whole) => statOf(view, whole)));
}

/** `send` gets the archive; the container's files stay open until it ends. */
export function copyOut(context: ContainersContext, ref: string, path: string, send: (answer: CopyOut) => Promise<void>): Promise<void> {
  return withFiles(context, ref, { mounts: true, exclusive: false }, async ({ record, view }) => {
    const answer = asked(ref, path, (whole) => ({ stat: statOf(view, whole), bytes: view.archive(whole, entryName(whole)) }));
    emit(context, record, "archive-path");
    await send(answer);
  });
}

export function copyIn(context: ContainersContext, ref: string, { path, bytes, keepKind, copyOwner }: CopyIn): Promise<void> {
  return withFiles(context, ref, { mounts: true, exclusive: true }, async ({ record, view }) => {
    const target = asked(ref, path, (whole) => folderOf(view, whole), () => "EvalSymlinks: too many links");
    requireWritable(record, target);
    const owner = copyOwner ? await ownerFor(record, view) : undefined;
    try {
      await view.extract(target, bytes, { keepKind, ...(owner && { owner }) });
    } catch (error) {
      throw error instanceof Error && error.name === "AbortError" ? error : extractError(error, target);
    }
    emit(context, record, "extract-to-dir");
  });
}

/** Runs `use` with the path in its whole form. Throws Docker's errors, `loop` for links that lead in a circle. */
function asked<T>(ref: string, path: string, use: (whole: string) => T, loop = (whole: string): string => `evalSymlinksInScope: too many links in ${whole}`): T {
  if (path === "") throw invalidParameter("bad parameter: path cannot be empty");
  const whole = wholePath(path);
  try {
    return use(whole);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof GantryError || code === undefined) throw error;
    if (code === "ENOENT") throw notFound(`Could not find the file ${path} in container ${ref}`, error);
    throw systemError(code === "ELOOP" ? loop(whole) : `lstat ${whole}: ${errnoText(code)}`, error);
  }
}

/** Absolute and clean, with the slash or dot at its end that says what is meant. */
export function wholePath(path: string): string {
  const clean = posix.join("/", path).replace(/(.)\/$/, "$1");
  const isDot = path === "." || path.endsWith("/.");
  if (isDot) return clean === "/" ? "/." : `${clean}/.`;
  return path.endsWith("/") && clean !== "/" ? `${clean}/` : clean;
}

/** As Go's filepath.Base: "/" of the root. */
function baseName(whole: string): string {
  return whole.replace(/\/+$/, "").split("/").at(-1) || "/";
}

/** Names below the root's own begin with a slash. */
const entryName = (whole: string): string => (whole === "/" ? "" : baseName(whole));

const kindBits: Record<FileStat["kind"], number> = {
  file: 0,
  folder: 2 ** 31,
  link: 2 ** 27,
  "block-device": 2 ** 26,
  "character-device": 2 ** 26 + 2 ** 21,
  fifo: 2 ** 25,
  socket: 2 ** 24,
};

export function goMode({ kind, permissions }: FileStat): number {
  const special = (permissions & 0o4000 ? 2 ** 23 : 0) + (permissions & 0o2000 ? 2 ** 22 : 0) + (permissions & 0o1000 ? 2 ** 20 : 0);
  return kindBits[kind] + special + (permissions & 0o777);
}

function statOf(view: ContainerView, whole: string): PathStat {
  const stat = view.stat(whole);
  return { name: baseName(whole), size: stat.size, mode: goMode(stat), mtime: rfc3339Nano(stat.modified), linkTarget: stat.kind === "link" ? view.resolve(whole) : "" };
}

/** The folder to untar into, links followed. */
function folderOf(view: ContainerView, whole: string): string {
  const target = view.resolve(whole);
  if (view.stat(target).kind === "folder") return target;
  throw /\/\.?$/.test(whole) ? systemError(`lstat ${whole}: not a directory`) : invalidParameter("extraction point is not a directory");
}

/** What is mounted read-only is so in the view, too; this says it in Docker's words. */
function requireWritable(record: ContainerRecord, target: string): void {
  const point = record.mounts.filter(({ type, destination }) => type !== "tmpfs" && isWithin(target, destination)).sort((a, b) => b.destination.length - a.destination.length)[0];
  if (point && !point.rw) throw invalidParameter("mounted volume is marked read-only");
  if (!point && record.hostConfig.ReadonlyRootfs) throw invalidParameter("container rootfs is marked read-only");
}

const isWithin = (path: string, folder: string): boolean => path === folder || path.startsWith(folder.endsWith("/") ? folder : `${folder}/`);

async function ownerFor({ config }: ContainerRecord, view: ContainerView): Promise<{ uid: number; gid: number } | undefined> {
  if (config.User === "") return undefined;
  const text = async (path: string): Promise<string> => (await view.read(path, MOST_USERS))?.toString() ?? "";
  return ownerOf(config.User, await text("/etc/passwd"), await text("/etc/group"));
}

function extractError(error: unknown, target: string): GantryError {
  if (error instanceof GantryError) return error;
  if (error instanceof KindConflict) {
    const [there, wanted] = error.isFolder ? ["directory", "non-directory"] : ["non-directory", "directory"];
    return systemError(`cannot overwrite ${there} ${quote(error.path)} with ${wanted} ${quote(target)}`, error);
  }
  const { code, path = "" } = error as NodeJS.ErrnoException;
  if (code === "EXDEV") return systemError(`${quote(path)} is outside of ${quote(target)}`, error);
  if (code === "EBADMSG") return systemError(messageOf(error).replace(/^(?=invalid tar header)/, "archive/tar: "), error);
  return systemError(`cannot copy into ${target}: ${messageOf(error)}`, error);
}
