/** How much containers may take, for storage drivers that keep each in a folder: project quotas, where the file system has them. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { invalidParameter, messageOf, unavailable } from "../lib/errors.ts";
import { sizeAsked } from "../lib/storage-options.ts";
import { ProjectQuota } from "./project-quota.ts";

interface LimitsOptions {
  /** Of containers that ask for nothing else; 0 for none. */
  standard: number;
  /** What the daemon is told that wants a standard limit where there are no quotas; the reason is added. */
  standardRefused: string;
  /** What a container is told. */
  refused: string;
}

export class FolderLimits {
  readonly #quota: ProjectQuota | undefined;
  readonly #options: LimitsOptions;

  constructor(dir: string, options: LimitsOptions) {
    this.#options = options;
    try {
      this.#quota = ProjectQuota.open(dir, () => [dir, join(dir, "trash/0"), join(dir, "trash/1")].flatMap(foldersIn));
    } catch (error) {
      if (options.standard > 0) throw unavailable(`${options.standardRefused}: ${messageOf(error)}`, error);
    }
  }

  /** As the snapshotter's. */
  limitFor(options: Readonly<Record<string, string>>): number | undefined {
    const asked = sizeAsked(options) ?? this.#options.standard;
    if (Object.keys(options).length > 0 && !this.#quota) throw invalidParameter(this.#options.refused);
    return asked > 0 ? asked : undefined;
  }

  /** Fills a new folder, which is limited first: what is made in it counts. Without `bytes` it has no limit. */
  async limited(dir: string, bytes: number | undefined, fill: () => void | Promise<void>): Promise<void> {
    if (bytes === undefined) return fill();
    try {
      this.#quota?.limit(dir, bytes);
      await fill();
    } catch (error) {
      this.drop(dir);
      throw error;
    }
  }

  limitOf(dir: string): number | undefined {
    return this.#quota?.limitOf(dir);
  }

  /** Before the folder goes. */
  drop(dir: string): void {
    this.#quota?.drop(dir);
  }
}

const foldersIn = (dir: string): string[] => (existsSync(dir) ? readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => join(dir, name)) : []);
