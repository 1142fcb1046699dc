/**
 * Datasets of snapshots: <parent>/<64 hexadecimal digits>, mounted by nobody but the driver. The property gantry:layers says whose they are, so
 * that what a crash left without a snapshot is found and destroyed. A dataset that has all that it should is sealed by its
 * snapshot @layer, of which others are clones.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Stray } from "../../core/snapshotter.ts";
import { messageOf } from "../../lib/errors.ts";
import { faultPoint } from "../../lib/fault.ts";
import { rowsOf, tell, tellNow } from "./program.ts";

const OWNER = "gantry:layers";
const SEAL = "layer";
/** A container's mounts go a moment after it, and a clone before what it was made of. Then less often: somebody else has it mounted. */
const PATIENCE_MILLISECONDS = [20, 50, 100, 200, 400, 800, 1500, 3000];
const RETRY_MILLISECONDS = 30_000;

export interface DatasetParts {
  /** The dataset that all are in. */
  parent: string;
  /** Another for each folder of layers. */
  owner: string;
  /** Names that snapshots have. */
  known: () => ReadonlySet<string>;
}

export class Datasets {
  readonly #parts: DatasetParts;
  /** To be destroyed, in the order in which they were given up. */
  readonly #pending = new Set<string>();
  #destroying: Promise<void> = Promise.resolve();
  #retry: NodeJS.Timeout | undefined;

  /** Destroys what is known no more. */
  constructor(parts: DatasetParts) {
    this.#parts = parts;
    this.destroy(this.#unknown(tellNow("zfs", this.#listing)));
  }

  path(name: string): string {
    return `${this.#parts.parent}/${name}`;
  }

  sealOf(name: string): string {
    return `${this.path(name)}@${SEAL}`;
  }

  /** Empty, or as `origin` was when it was sealed; of no more bytes of its own than `limit`. */
  async make(name: string, { origin, limit }: { origin?: string; limit?: number }): Promise<void> {
    const properties = ["mountpoint=legacy", `${OWNER}=${this.#parts.owner}`, ...(limit === undefined ? [] : [`quota=${limit}`])].flatMap((property) => ["-o", property]);
    await tell("zfs", origin === undefined ? ["create", ...properties, this.path(name)] : ["clone", ...properties, this.sealOf(origin), this.path(name)]);
  }

  /** When nothing will change in it any more. All of it is on the pool then. */
  async seal(name: string): Promise<void> {
    await tell("zfs", ["snapshot", this.sealOf(name)]);
  }

  /** In the background, until settled() ends; what is in use now goes later. */
  destroy(names: readonly string[]): void {
    if (names.length === 0) return;
    for (const name of names) this.#pending.add(name);
    this.#destroying = this.#destroying.then(() => this.#destroyPending());
  }

  async #destroyPending(): Promise<void> {
    clearTimeout(this.#retry);
    for (const patience of PATIENCE_MILLISECONDS) {
      for (const name of this.#pending) if (await this.#isDestroyed(name)) this.#pending.delete(name);
      if (this.#pending.size === 0) return;
      await delay(patience);
    }
    this.#retry = setTimeout(() => this.destroy([...this.#pending]), RETRY_MILLISECONDS).unref();
  }

  /** False while somebody has it mounted, or a clone of it is left. */
  async #isDestroyed(name: string): Promise<boolean> {
    try {
      await tell("zfs", ["destroy", "-r", this.path(name)]);
    } catch (error) {
      return messageOf(error).endsWith("dataset does not exist");
    }
    faultPoint("zfs-destroyed");
    return true;
  }

  /** Looks twice when it finds something: what is listed may be destroyed, or get its record, meanwhile. */
  async strays(): Promise<Stray[]> {
    const before = await this.#found();
    const now = before.length === 0 ? [] : await this.#found();
    return now.filter((name) => before.includes(name)).map((name): Stray => ({ id: this.path(name), problem: "the dataset belongs to no layer", repair: () => this.#repair(name) }));
  }

  async #found(): Promise<string[]> {
    return this.#unknown(await tell("zfs", this.#listing)).filter((name) => !this.#pending.has(name));
  }

  async #repair(name: string): Promise<void> {
    this.destroy([name]);
    await this.settled();
  }

  get #listing(): string[] {
    return ["list", "-H", "-p", "-r", "-d", "1", "-t", "filesystem", "-o", `name,${OWNER}`, this.#parts.parent];
  }

  /** Names of this owner's datasets that no snapshot has. */
  #unknown(listed: string): string[] {
    const { parent, owner, known } = this.#parts;
    const inside = `${parent}/`;
    const own = rowsOf(listed).filter(([path = "", whose]) => path.startsWith(inside) && whose === owner).map(([path = ""]) => path.slice(inside.length));
    const used = known();
    return own.filter((name) => !used.has(name));
  }

  settled(): Promise<void> {
    return this.#destroying;
  }

  async close(): Promise<void> {
    await this.settled();
    clearTimeout(this.#retry);
  }
}
