/**
 * Shared memory that several containers use: one tmpfs for each container that offers it, mounted below a folder of the
 * host, as a mount can only be bound from the namespace that it is in.
 */
import { mkdirSync, readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import type { Owner } from "../lib/user-maps.ts";
import { addon } from "./addon.ts";

const { mount, unmount } = addon as unknown as {
  mount: (source: string, target: string, type: string, flags: number, data: string) => void;
  unmount: (target: string, flags: number) => void;
};

/** MS_NOSUID | MS_NODEV | MS_NOEXEC */
const FLAGS = 2 | 4 | 8;
const MNT_DETACH = 2;

export class SharedMemory {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The mount point of a container, whether or not something is there. */
  pathOf(id: string): string {
    return join(this.#folder, id);
  }

  /** A new, empty one of so many bytes. */
  make(id: string, bytes: number, owner?: Owner): string {
    this.release(id);
    const path = this.pathOf(id);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    mount("shm", path, "tmpfs", FLAGS, `mode=1777,size=${bytes}${owner ? `,uid=${owner.uid},gid=${owner.gid}` : ""}`);
    return path;
  }

  /** Idempotent. Containers that use it keep it. */
  release(id: string): void {
    ignoring(["EINVAL", "ENOENT"], () => unmount(this.pathOf(id), MNT_DETACH));
    ignoring(["ENOENT"], () => rmdirSync(this.pathOf(id)));
  }

  /** Releases those of containers that do not run. */
  sweep(isRunning: (id: string) => boolean): void {
    let ids: string[] = [];
    ignoring(["ENOENT"], () => (ids = readdirSync(this.#folder)));
    for (const id of ids) if (!isRunning(id)) this.release(id);
  }
}

function ignoring(codes: readonly string[], run: () => void): void {
  try {
    run();
  } catch (error) {
    if (!codes.includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}
