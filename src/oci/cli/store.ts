/**
 * What gantry-runtime remembers between its calls.
 *
 *   <root>/<id>/state.json    ContainerRecord, written by rename
 *   <root>/<id>/exec.fifo    init waits for a byte from it; start removes it
 *   <root>/<id>/cgroups       the groups, one a line: for who removes a container whose creation was killed
 *   <root>/<id>/criu-root/    see restoreRoot
 *   <root>/<id>/notify/       the socket that the container tells of its readiness, see notify.ts
 *
 * A folder without state.json is a container that is being created, or whose creation was killed.
 */
import { closeSync, constants, existsSync, mkdirSync, openSync, readFileSync, readdirSync, renameSync, rmSync, unlinkSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { conflict, invalidParameter, notFound } from "../../lib/errors.ts";
import type { OciSpec } from "../../lib/oci-spec.ts";
import { textOf } from "../host.ts";
import type { RecordedUnit } from "./scope.ts";

export interface ContainerRecord {
  id: string;
  bundle: string;
  pid: number;
  /** Of the process, in clock ticks since boot: a pid alone may be another process's by now. */
  startTime: string;
  /** RFC 3339. */
  created: string;
  /** Name of the user who created it. */
  owner: string;
  spec: OciSpec;
  /** cgroup folders, to be removed in this order. */
  cgroups: string[];
  noNewKeyring: boolean;
  /** Present: systemd made the groups. */
  unit?: RecordedUnit;
  /** What its first three fds were at the beginning: "/path", "pipe:[INODE]". */
  descriptors?: string[];
}

export class ContainerStore {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  folder(id: string): string {
    if (!/^[\w+.@-]{1,1024}$/.test(id) || id === "." || id === "..") throw invalidParameter("invalid container ID format");
    return join(this.#root, id);
  }

  startFifo(id: string): string {
    return join(this.folder(id), "exec.fifo");
  }

  /** Where a restore mounts the root for criu; a folder that is there only meanwhile. */
  restoreRoot(id: string): string {
    return join(this.folder(id), "criu-root");
  }

  /** Takes the id. `notify`: also makes the folder of its notify socket. */
  reserve(id: string, { notify }: { notify: boolean }): void {
    mkdirSync(this.#root, { recursive: true, mode: 0o711 });
    try {
      mkdirSync(this.folder(id), { mode: 0o711 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") throw conflict("container with given ID already exists", error);
      throw error;
    }
    if (notify) mkdirSync(join(this.folder(id), "notify"), { mode: 0o755 });
  }

  /** Before anything is made. */
  announce(id: string, cgroups: readonly string[]): void {
    writeFileSync(join(this.folder(id), "cgroups"), cgroups.map((path) => `${path}\n`).join(""), { mode: 0o600 });
  }

  /** Of a container without a record. */
  announced(id: string): string[] {
    return textOf(join(this.folder(id), "cgroups")).split("\n").filter((path) => path !== "");
  }

  save(record: ContainerRecord): void {
    const path = join(this.folder(record.id), "state.json");
    const text = JSON.stringify({ ...record, ...visibleState(record) }, (_, value: unknown) => (typeof value === "bigint" ? { $bigint: String(value) } : value));
    writeFileSync(`${path}.new`, text, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  load(id: string): ContainerRecord {
    try {
      return JSON.parse(readFileSync(join(this.folder(id), "state.json"), "utf8"), revive) as ContainerRecord;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") throw notFound("container does not exist", error);
      throw error;
    }
  }

  /** Everything that has a record, by id. */
  list({ mustExist }: { mustExist: boolean }): ContainerRecord[] {
    if (mustExist && !existsSync(this.#root)) throw notFound(`${this.#root}: no such file or directory`);
    return this.#ids().flatMap((id) => {
      try {
        return [this.load(id)];
      } catch {
        return [];
      }
    });
  }

  exists(id: string): boolean {
    return this.#ids().includes(id);
  }

  remove(id: string): void {
    rmSync(this.folder(id), { recursive: true, force: true });
  }

  /** Lets init go on. Removing the fifo first makes one of two calls at once fail. */
  release(id: string): void {
    const path = this.startFifo(id);
    const fifo = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    try {
      unlinkSync(path);
      writeSync(fifo, "0");
    } finally {
      closeSync(fifo);
    }
  }

  #ids(): string[] {
    try {
      return readdirSync(this.#root).toSorted();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  }
}

function revive(_key: string, value: unknown): unknown {
  if (typeof value === "object" && value !== null && "$bigint" in value) return BigInt((value as { $bigint: string }).$bigint);
  return value;
}

/** Members of runc's state.json that other programs read. */
function visibleState({ id, pid, startTime, cgroups, bundle, spec, descriptors }: ContainerRecord): Record<string, unknown> {
  const namespaces = { NEWNS: "mnt", NEWNET: "net", NEWPID: "pid", NEWUTS: "uts", NEWIPC: "ipc", NEWUSER: "user", NEWCGROUP: "cgroup", NEWTIME: "time" };
  const rootfs = spec.root?.path ?? "";
  return {
    init_process_pid: pid,
    init_process_start: Number(startTime),
    external_descriptors: descriptors,
    cgroup_paths: Object.fromEntries(cgroups.map((path) => [controllerOf(path), path])),
    namespace_paths: Object.fromEntries(Object.entries(namespaces).map(([name, file]) => [name, `/proc/${pid}/ns/${file}`])),
    config: { rootfs: rootfs.startsWith("/") ? rootfs : `${bundle}/${rootfs}`, hostname: spec.hostname ?? "", labels: [`bundle=${bundle}`, ...Object.entries(spec.annotations ?? {}).map(([key, value]) => `${key}=${value}`)], cgroups: { path: spec.linux?.cgroupsPath ?? id } },
  };
}

/** The folder below /sys/fs/cgroup, "" for a single hierarchy. */
const controllerOf = (path: string): string => /^\/sys\/fs\/cgroup\/([a-z_,=]+)\//.exec(path)?.[1] ?? "";
