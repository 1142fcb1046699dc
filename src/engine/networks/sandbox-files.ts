/**
 * The files of a sandbox that are bound over a container's own:
 *
 *   <containers>/<id>/hosts         made anew at each start
 *   <containers>/<id>/hostname      made anew at each start
 *   <containers>/<id>/resolv.conf   made anew at each start, unless it was changed in the container: resolv.conf.hash has
 *                                   the SHA-256 of what was written
 *
 * The folder is the engine's and closed to others. Contents are written in place, because a running container has the file
 * mounted, and never through a symbolic link.
 */
import { hash } from "node:crypto";
import { closeSync, constants, fchmodSync, fstatSync, ftruncateSync, lchownSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { systemError } from "../../lib/errors.ts";
import type { Owner } from "../../lib/user-maps.ts";

export interface SandboxFiles {
  hosts: string;
  hostname: string;
  resolvConf: string;
}

export function sandboxPaths(folder: string): SandboxFiles {
  return { hosts: join(folder, "hosts"), hostname: join(folder, "hostname"), resolvConf: join(folder, "resolv.conf") };
}

/** Writes the contents and gives the paths. `owner`: the container's root. */
export function writeSandboxFiles(folder: string, contents: SandboxFiles, owner?: Owner): SandboxFiles {
  const paths = sandboxPaths(folder);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeInPlace(paths.hosts, contents.hosts);
  writeInPlace(paths.hostname, contents.hostname);
  writeResolvConf(folder, contents.resolvConf);
  if (owner) for (const path of Object.values(paths)) lchownSync(path, owner.uid, owner.gid);
  return paths;
}

/** Unless it was changed by hand. */
export function writeResolvConf(folder: string, content: string): void {
  const { resolvConf } = sandboxPaths(folder);
  if (isChanged(resolvConf)) return;
  writeInPlace(resolvConf, content);
  writeInPlace(hashOf(resolvConf), digest(content));
}

/** Adds the lines of `content` that a running container's file has not, and takes away those of addresses that are gone, and older ones of the same names. */
export function changeHosts(folder: string, content: string, gone: readonly string[]): void {
  const { hosts } = sandboxPaths(folder);
  const present = (readIfThere(hosts) ?? "").split("\n").filter((line) => line !== "");
  const wanted = content.split("\n").filter((line) => line !== "");
  const names = new Set(wanted.map(namesIn));
  const kept = present.filter((line) => !gone.includes(line.split(/\s/, 1)[0]!) && (wanted.includes(line) || !names.has(namesIn(line))));
  const added = wanted.filter((line) => !kept.includes(line));
  writeInPlace(hosts, [...kept, ...added].map((line) => `${line}\n`).join(""));
}

const namesIn = (line: string): string => line.split("\t").slice(1).join("\t");

const hashOf = (path: string): string => `${path}.hash`;
const digest = (content: string): string => `sha256:${hash("sha256", content)}`;

/** A larger file is not read: it was certainly changed. */
const MAX_READ = 1 << 20;

function isChanged(path: string): boolean {
  const content = readIfThere(path);
  const written = readIfThere(hashOf(path));
  return content !== undefined && written !== undefined && digest(content) !== written;
}

function readIfThere(path: string): string | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    const status = fstatSync(fd);
    return status.isFile() && status.size <= MAX_READ ? readFileSync(fd, "utf8") : "";
  } finally {
    closeSync(fd);
  }
}

/** World-readable: processes of any user in the container read it. Cut after writing: ext4 flushes a file to disk that is emptied and written again. */
function writeInPlace(path: string, content: string): void {
  try {
    const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW, 0o644);
    try {
      fchmodSync(fd, 0o644);
      ftruncateSync(fd, writeSync(fd, content));
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    throw systemError(`cannot write ${path}: ${(cause as Error).message}`, cause);
  }
}
