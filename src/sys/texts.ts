/** Many small files at once: one hop to a thread and back for all of them, where each would take five by node:fs. */
import { addon } from "./addon.ts";

const native = addon as unknown as {
  /** Each path ends with a NUL. What is longer is not read, and what cannot be read is absent. */
  readTexts(paths: string, maxBytes: number): Promise<(string | undefined)[]>;
};

/** Files of the kernel's that tell something; a machine of many processors has some of hundreds of kilobytes. */
const MAX_BYTES = 4 << 20;

/** Prepared, for those that are read again and again. */
export type Paths = string & { readonly paths: unique symbol };

export const pathsOf = (paths: readonly string[]): Paths => paths.map((path) => `${path}\0`).join("") as Paths;

/** The contents, byte for character, in the order of the paths; undefined for what cannot be read. */
export const readTexts = (paths: Paths): Promise<(string | undefined)[]> => native.readTexts(paths, MAX_BYTES);
