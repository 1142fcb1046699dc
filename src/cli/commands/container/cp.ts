import fs from "node:fs";
import { posix } from "node:path";
import { messageOf } from "../../../lib/errors.ts";
import { path as apiPath, ApiError } from "../../api/client.ts";
import { counted, reportCopied } from "../../copy/progress.ts";
import { isDotted, isFolderPath, keepEnd, splitPath } from "../../copy/paths.ts";
import type { Session } from "../../session.ts";
import { stdin } from "../../streams.ts";

interface PathStat {
  name: string;
  size: number;
  mode: number;
  linkTarget: string;
}

const FOLDER = 2 ** 31;
const LINK = 2 ** 27;
const has = (mode: number, bit: number): boolean => Math.floor(mode / bit) % 2 === 1;
/** Neither a folder nor a regular file. */
const isSpecial = (mode: number): boolean => [2 ** 26, 2 ** 25, 2 ** 24].some((bit) => has(mode, bit));

export async function run(session: Session): Promise<void> {
  const [source = "", destination = ""] = session.args;
  const from = splitArgument(source);
  const to = splitArgument(destination);
  if (from.path === "" || to.path === "") throw new Error(`${from.path === "" ? "source" : "destination"} can not be empty`);
  if (from.container !== "" && to.container !== "") throw new Error("copying between containers is not supported");
  if (from.container !== "") return await copyFrom(session, from, to.path);
  if (to.container !== "") return await copyTo(session, from.path, to);
  throw new Error("must specify at least one container source");
}

interface Place {
  container: string;
  path: string;
}

/** "CONTAINER:PATH"; what is absolute, or has a slash or dot before the colon, is a path of this machine. */
function splitArgument(argument: string): Place {
  if (argument.startsWith("/")) return { container: "", path: argument };
  const colon = argument.indexOf(":");
  if (colon < 0 || argument.startsWith(".")) return { container: "", path: argument };
  return { container: argument.slice(0, colon), path: argument.slice(colon + 1) };
}

const localPath = (path: string): string => keepEnd(posix.resolve(path), path);

function statOf(header: string | undefined): PathStat {
  if (header === undefined) throw new Error("unable to decode container path stat header: EOF");
  return JSON.parse(Buffer.from(header, "base64").toString()) as PathStat;
}

async function askStat(session: Session, { container, path }: Place): Promise<PathStat> {
  const response = await session.client.stream("HEAD", apiPath`/containers/${container}/archive`, { query: { path } });
  return statOf(response.headers.get("x-docker-container-path-stat"));
}

/** Undefined when it cannot be told: the copy will say why. */
async function tryStat(session: Session, place: Place): Promise<PathStat | undefined> {
  try {
    return await askStat(session, place);
  } catch (error) {
    if (error instanceof ApiError && error.status > 0) return undefined;
    throw error;
  }
}

async function copyFrom(session: Session, from: Place, destination: string): Promise<void> {
  const target = destination === "-" ? "-" : localPath(destination);
  let { path } = from;
  let name: string | undefined;
  if (session.flags.bool("follow-link")) {
    const stat = await tryStat(session, from);
    if (stat && has(stat.mode, LINK)) {
      path = keepEnd(stat.linkTarget, path);
      if (posix.basename(path) !== posix.basename(from.path)) name = posix.basename(from.path);
    }
  }
  if (target !== "-") requireParent(target);
  const response = await session.client.stream("GET", apiPath`/containers/${from.container}/archive`, { query: { path } });
  if (target === "-") {
    for await (const chunk of response.body) session.out.write(chunk);
    return;
  }
  const stat = statOf(response.headers.get("x-docker-container-path-stat"));
  const size = { bytes: 0 };
  await unpackAs(session, { bytes: counted(response.body, size), isFolder: has(stat.mode, FOLDER), base: splitPath(path).base, name }, target);
  reportCopied(session, size.bytes, target);
}

function requireParent(target: string): void {
  const { dir } = splitPath(target);
  if (!fs.existsSync(dir)) throw new Error(`invalid output path: directory ${JSON.stringify(dir)} does not exist`);
}

interface Incoming {
  bytes: AsyncIterable<Uint8Array>;
  isFolder: boolean;
  /** The name that the archive's topmost entry has, and the one it is to get. */
  base: string;
  name: string | undefined;
}

async function unpackAs(session: Session, { bytes, isFolder, base, name }: Incoming, target: string): Promise<void> {
  const files = await session.localFiles();
  const existing = fs.statSync(target, { throwIfNoEntry: false });
  if (existing?.isDirectory() && name === undefined) return await files.unpack(target, bytes);
  if (existing && !existing.isDirectory() && isFolder) throw new Error("cannot copy directory");
  if (!existing && !isFolder && isFolderPath(target)) throw new Error("no such directory");
  const final = existing ? (existing.isDirectory() ? posix.join(target, name as string) : fs.realpathSync(target)) : target.replace(/\/\.?$/, "");
  const temporary = fs.mkdtempSync(posix.join(posix.dirname(final), ".gantry-cp-"));
  try {
    await files.unpack(temporary, bytes);
    const whole = base === "." || base === "/" ? temporary : posix.join(temporary, base);
    if (whole === temporary) fs.chmodSync(temporary, 0o755);
    fs.renameSync(whole, final);
  } finally {
    fs.rmSync(temporary, { recursive: true, force: true });
  }
}

async function copyTo(session: Session, source: string, to: Place): Promise<void> {
  let place = to;
  let stat = await tryStat(session, place);
  if (stat && has(stat.mode, LINK)) {
    place = { container: to.container, path: stat.linkTarget };
    stat = await tryStat(session, place);
  }
  if (stat && isSpecial(stat.mode)) throw new Error(`destination "${to.container}:${to.path}" must be a directory or a regular file`);
  const isFolder = stat !== undefined && has(stat.mode, FOLDER);
  const size = { bytes: 0 };
  if (source === "-") {
    if (!isFolder) throw new Error(`destination "${to.container}:${to.path}" must be a directory`);
    await put(session, place, counted(stdin.bytes(), size));
  } else {
    const { dir, bytes } = await outgoing(session, localPath(source), { path: place.path, exists: stat !== undefined, isFolder });
    await put(session, { container: place.container, path: dir }, counted(bytes, size));
  }
  reportCopied(session, size.bytes, `${to.container}:${to.path}`);
}

async function put(session: Session, { container, path }: Place, body: AsyncIterable<Uint8Array>): Promise<void> {
  const query = { path, noOverwriteDirNonDir: "true", ...(session.flags.bool("archive") ? { copyUIDGID: "true" } : {}) };
  await session.client.text("PUT", apiPath`/containers/${container}/archive`, { query, body, headers: { "Content-Type": "application/x-tar" } });
}

/** The archive of a path of this machine with the names that make it arrive as asked, and the folder to put it in. */
async function outgoing(session: Session, source: string, to: { path: string; exists: boolean; isFolder: boolean }): Promise<{ dir: string; bytes: AsyncIterable<Uint8Array> }> {
  const files = await session.localFiles();
  const { dir: folder, base } = splitPath(source);
  let path = source;
  let isFolder: boolean;
  try {
    if (session.flags.bool("follow-link")) path = keepEnd(fs.realpathSync(source), source);
    else if (!isDotted(source)) path = keepEnd(posix.join(fs.realpathSync(folder), base), source);
    isFolder = fs.lstatSync(path).isDirectory();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(code === "ENOENT" ? `lstat ${source.replace(/\/$/, "")}: no such file or directory` : messageOf(error));
  }
  if (to.exists && to.isFolder) return { dir: to.path, bytes: files.pack(path, base === "/" ? "" : base) };
  if (to.exists && isFolder) throw new Error("cannot copy directory");
  if (!to.exists && !isFolder && isFolderPath(to.path)) throw new Error("no such directory");
  const target = splitPath(to.path);
  return { dir: target.dir, bytes: files.pack(path, target.base) };
}
