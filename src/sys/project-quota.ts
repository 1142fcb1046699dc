/**
 * Folders that may take so much and no more, by the project quotas of XFS (mounted with pquota) and ext4 (prjquota).
 *
 * Each limited folder is a project of its own; what is made in it inherits the project. The file system itself remembers which
 * folder is of which project and what its limit is, so that there is nothing to keep beside it and nothing to mend after a crash.
 * Ids begin above the project of the folder that holds them all. An id is taken only when nothing is of it and nobody has written
 * it down; afterwards the folder must be all that is of it, or else somebody took it at the same moment. Ids come back when their
 * folder is dropped; what is still being deleted keeps its id from being taken.
 */
import { readFileSync } from "node:fs";
import { messageOf } from "../lib/errors.ts";
import { addon } from "./addon.ts";
import { withDirectory } from "./archive.ts";

const native = addon as unknown as {
  projectOf(fd: number): number;
  setProject(fd: number, project: number, inherit: number): void;
  projectsLimited(fd: number): boolean;
  projectUsage(fd: number, project: number): [limit: number, bytes: number, inodes: number];
  limitProject(fd: number, project: number, bytes: number): void;
};

const largestId = 0xffff_fffe;
/** Free ids between taken ones that are worth keeping. */
const mostGaps = 65_536;

export class ProjectQuota {
  readonly #folders: () => string[];
  /** The project of what is in no limited folder. */
  readonly #base: number;
  /** Read at the first need. */
  #ids: Ids | undefined;

  private constructor(base: number, folders: () => string[]) {
    this.#folders = folders;
    this.#base = base;
  }

  /** For folders below `dir`; `folders` names those that may be limited or were until a crash, once, at the first need. Throws an
   *  Error that says why where the file system has no such quotas. */
  static open(dir: string, folders: () => string[]): ProjectQuota {
    return withDirectory(dir, (fd) => {
      let limited = false;
      try {
        limited = native.projectsLimited(fd);
      } catch (error) {
        throw new Error(`the file system has no project quotas (${messageOf(error)})`, { cause: error });
      }
      if (!limited) throw new Error("the file system is mounted without enforcing project quotas");
      return new ProjectQuota(native.projectOf(fd), folders);
    });
  }

  /** Limits an empty folder, or changes the limit of one that has one. Throws the errno. */
  limit(folder: string, bytes: number): void {
    withDirectory(folder, (fd) => native.limitProject(fd, this.#ownProject(fd) ?? this.#assign(fd), bytes));
  }

  /** In bytes; undefined for a folder without one. */
  limitOf(folder: string): number | undefined {
    return withDirectory(folder, (fd) => {
      const project = this.#ownProject(fd);
      return project === undefined ? undefined : native.projectUsage(fd, project)[0] || undefined;
    });
  }

  /** Before the folder is removed: the limit goes, the id is free when the files are gone. A missing folder is no error. */
  drop(folder: string): void {
    try {
      withDirectory(folder, (fd) => {
        const project = this.#ownProject(fd);
        if (project === undefined) return;
        native.limitProject(fd, project, 0);
        // It is moved to the trash, which may pass its own project on: only what is of that can be moved there.
        native.setProject(fd, this.#base, 0);
        this.#ids?.free.add(project);
      });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }

  #ownProject(fd: number): number | undefined {
    const project = native.projectOf(fd);
    return project === this.#base || project === 0 ? undefined : project;
  }

  #assign(fd: number): number {
    this.#ids ??= this.#read();
    for (;;) {
      const project = this.#take(fd, this.#ids);
      native.setProject(fd, project, 1);
      if (native.projectUsage(fd, project)[2] === 1) return project;
    }
  }

  /** The one that has been free for longest, or else a new one. */
  #take(fd: number, ids: Ids): number {
    for (const project of ids.free) {
      ids.free.delete(project);
      if (isUnused(fd, project)) return project;
      ids.free.add(project);
      break;
    }
    while (ids.next <= largestId) {
      const project = ids.next++;
      if (!ids.reserved.has(project) && isUnused(fd, project)) return project;
    }
    throw new Error("all project ids are taken");
  }

  /** What the folders have; ids between them that nobody has are free. */
  #read(): Ids {
    const taken = new Set(this.#folders().map(projectAt));
    const last = [...taken].reduce((most, project) => Math.max(most, project), this.#base);
    const reserved = writtenDown();
    const free = new Set<number>();
    for (let project = this.#base + 1; project < last && free.size < mostGaps; project++) if (!taken.has(project) && !reserved.has(project)) free.add(project);
    return { free, next: last + 1, reserved };
  }
}

interface Ids {
  free: Set<number>;
  next: number;
  reserved: ReadonlySet<number>;
}

const isUnused = (fd: number, project: number): boolean => native.projectUsage(fd, project).every((number) => number === 0);

function projectAt(folder: string): number {
  try {
    return withDirectory(folder, (fd) => native.projectOf(fd));
  } catch {
    return 0;
  }
}

/** Ids that the administrator has given to something, whether it is there yet or not: projects(5) has "ID:PATH", projid(5) "NAME:ID". */
function writtenDown(): ReadonlySet<number> {
  const columns = [["/etc/projects", 0], ["/etc/projid", 1]] as const;
  return new Set(columns.flatMap(([file, column]) => linesOf(file).map((line) => Number(line.split(":")[column]))));
}

function linesOf(file: string): string[] {
  try {
    return readFileSync(file, "utf8").split("\n");
  } catch {
    return [];
  }
}
