/** Containers' files by fd: views that native/addon/archive_view.c assembles, and archives out of and into them. */
import { closeSync, constants, fstatSync, readFileSync, readSync } from "node:fs";
import { posix } from "node:path";
import { type ContainerView, type ExtractOptions, type FileStat, type FilesRoot, KindConflict, type LiveMounts, type OpenFiles } from "../core/container-files.ts";
import type { OciIdMapping } from "../lib/oci-spec.ts";
import { mapsUnlessSame, parseMapText, type UserMaps } from "../lib/user-maps.ts";
import { openMapped } from "../sys/user-namespace.ts";
import { ArchiveStream, extract, openDirectory, openInRoot, openOverlay, type OpenedView, openView, readLinkAt, tarFrom, type ViewRoot, writeOpenTree, writeTreeAs } from "../sys/archive.ts";
import { mountInto, unlinkDevice, unmountFrom } from "../sys/live-mounts.ts";
import { receiveArchive } from "../sys/connection-body.ts";

/** Not in the standard library's constants. */
const O_PATH = 0o10000000;
const O_NOFOLLOW = constants.O_NOFOLLOW;
const MOST_LINKS = 255;

export const openFiles: OpenFiles = async (root, mounts) => {
  const opened = openRoot(root);
  try {
    return new View(await openView(opened, mounts), opened.maps);
  } finally {
    closeSync(opened.fd);
  }
};

function openRoot(root: FilesRoot): ViewRoot {
  if ("pid" in root) return runningRoot(root);
  const mount = root.rootfs.at(-1);
  if (!mount) throw new Error("a root file system has no mounts");
  const { maps } = mount;
  if (mount.type === "bind") return maps ? { kind: "tree", fd: openMapped(mount.source, maps), maps } : { kind: "folder", fd: openDirectory(mount.source) };
  const { lower, upper, work, options } = mount;
  return { kind: "tree", fd: openOverlay({ lower, own: { upper, work }, options, maps }), maps };
}

/** Of a process, an fd of /proc/PID: those that it runs with may not be the daemon's any more. */
function mapsOf(process: number): UserMaps | undefined {
  const read = (name: string): OciIdMapping[] => parseMapText(readFileSync(`/proc/self/fd/${process}/${name}`, "utf8"));
  return mapsUnlessSame({ uids: read("uid_map"), gids: read("gid_map") });
}

function runningRoot(root: { id: string; pid: number }): ViewRoot {
  const fd = openProcess(root);
  try {
    return { kind: "process", fd, maps: mapsOf(fd) };
  } catch (error) {
    closeSync(fd);
    throw endedIfGone(root, error);
  }
}

export const liveMounts: LiveMounts = {
  add: (container, mount) => withProcess(container, (fd) => mountInto(fd, mount, mapsOf(fd))),
  remove: (container, destination) => withProcess(container, (fd) => unmountFrom(fd, destination)),
  removeDevice: (container, path) => withProcess(container, (fd) => unlinkDevice(fd, path)),
};

async function withProcess<T>(container: { id: string; pid: number }, work: (fd: number) => Promise<T>): Promise<T> {
  const fd = openProcess(container);
  try {
    return await work(fd);
  } finally {
    closeSync(fd);
  }
}

/** The fd stays with this process: what gets its number later is another one. Its cgroup says whose it is. "ESRCH": it has ended. */
function openProcess({ id, pid }: { id: string; pid: number }): number {
  let fd = -1;
  try {
    fd = openDirectory(`/proc/${pid}`);
    if (readFileSync(`/proc/self/fd/${fd}/cgroup`, "utf8").includes(id)) return fd;
    throw Object.assign(new Error(`process ${pid} is not of container ${id}`), { code: "ESRCH" });
  } catch (error) {
    if (fd >= 0) closeSync(fd);
    throw endedIfGone({ id, pid }, error);
  }
}

/** What a live process has in /proc is there. */
function endedIfGone({ id, pid }: { id: string; pid: number }, error: unknown): unknown {
  return (error as NodeJS.ErrnoException).code === "ENOENT" ? Object.assign(new Error(`process ${pid} of container ${id} has ended`), { code: "ESRCH" }) : error;
}

class View implements ContainerView {
  readonly #view: OpenedView;
  readonly #maps: UserMaps | undefined;

  constructor(view: OpenedView, maps: UserMaps | undefined) {
    this.#view = view;
    this.#maps = maps;
  }

  stat(path: string): FileStat {
    return this.#with(path, O_PATH | O_NOFOLLOW, statOf);
  }

  resolve(path: string): string {
    const waiting = path.split("/");
    let done = "/";
    for (let links = 0; waiting.length > 0; ) {
      const name = waiting.shift() ?? "";
      if (name === "" || name === ".") continue;
      const next = posix.join(done, name);
      const target = name === ".." ? undefined : this.#linkAt(next);
      if (target === undefined) {
        done = next;
        continue;
      }
      if (++links > MOST_LINKS) throw Object.assign(new Error("too many links"), { code: "ELOOP" });
      waiting.unshift(...target.split("/"));
      if (target.startsWith("/")) done = "/";
    }
    return done;
  }

  async read(path: string, mostBytes: number): Promise<Buffer | undefined> {
    try {
      return this.#with(path, constants.O_RDONLY | constants.O_NONBLOCK, (fd) => {
        const status = fstatSync(fd);
        if (!status.isFile() || status.size > mostBytes) return undefined;
        const bytes = Buffer.alloc(mostBytes);
        return bytes.subarray(0, readSync(fd, bytes, 0, mostBytes, 0));
      });
    } catch (error) {
      if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
      throw error;
    }
  }

  archive(path: string, name: string): AsyncIterable<Uint8Array> {
    if (this.stat(path).kind !== "folder") return this.#archiveOne(path, name);
    const dir = openInRoot(this.#view.root, path, constants.O_RDONLY | constants.O_DIRECTORY | O_NOFOLLOW);
    return tarFrom(dir, (out) => writeTreeAs({ dir, name: "", maps: this.#maps }, name, out));
  }

  #archiveOne(path: string, name: string): AsyncIterable<Uint8Array> {
    const dir = openInRoot(this.#view.root, posix.dirname(path), O_PATH | constants.O_DIRECTORY);
    return tarFrom(dir, (out) => writeTreeAs({ dir, name: posix.basename(path), maps: this.#maps }, name, out));
  }

  archiveAll(): AsyncIterable<Uint8Array> {
    const dir = openInRoot(this.#view.root, "/", constants.O_RDONLY | constants.O_DIRECTORY);
    return tarFrom(dir, (out) => writeOpenTree(dir, out, this.#maps));
  }

  async extract(path: string, bytes: AsyncIterable<Uint8Array>, { keepKind, owner }: ExtractOptions): Promise<void> {
    const root = openInRoot(this.#view.root, path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      const flags = extract.owner | extract.xattrs | extract.devices | extract.copy | (keepKind ? extract.keepKind : 0) | (owner ? extract.chown : 0);
      using archive = new ArchiveStream({ root, flags, unhashed: "all", ...(owner ? { owner } : {}), ...(this.#maps ? { maps: this.#maps } : {}) });
      await receiveArchive(archive, bytes);
    } catch (error) {
      const { code, message, path: entry = "" } = error as NodeJS.ErrnoException;
      if (keepKind && message.startsWith("of another kind")) throw new KindConflict(entry, code === "EISDIR");
      throw error;
    } finally {
      closeSync(root);
    }
  }

  [Symbol.dispose](): void {
    this.#view[Symbol.dispose]();
  }

  /** What a link says; undefined for all else, also for what is not there. */
  #linkAt(path: string): string | undefined {
    try {
      return this.#with(path, O_PATH | O_NOFOLLOW, (fd) => (fstatSync(fd).isSymbolicLink() ? readLinkAt(fd) : undefined));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  #with<T>(path: string, flags: number, use: (fd: number) => T): T {
    const fd = openInRoot(this.#view.root, path, flags);
    try {
      return use(fd);
    } finally {
      closeSync(fd);
    }
  }
}

function statOf(fd: number): FileStat {
  const status = fstatSync(fd, { bigint: true });
  const kind = status.isFile() ? "file" : status.isDirectory() ? "folder" : status.isSymbolicLink() ? "link" : status.isFIFO() ? "fifo" : status.isSocket() ? "socket" : status.isBlockDevice() ? "block-device" : "character-device";
  return { kind, size: Number(status.size), permissions: Number(status.mode & 0o7777n), modified: status.mtimeNs };
}
