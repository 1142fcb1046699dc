/** Paths whose end says what is meant: "x/" is a folder, "x/." is what is in it. */
import { posix } from "node:path";

export const isDotted = (path: string): boolean => posix.basename(path) === "." || path === ".";
/** Only a folder can have such a path. */
export const isFolderPath = (path: string): boolean => path.endsWith("/") || isDotted(path);

/** A clean path with the end that the original had. */
export function keepEnd(clean: string, original: string): string {
  if (isDotted(original)) return clean.endsWith("/") ? `${clean}.` : `${clean}/.`;
  return original.endsWith("/") && !clean.endsWith("/") ? `${clean}/` : clean;
}

/** The folder, and the name in it; the name of "x/." is ".". */
export function splitPath(path: string): { dir: string; base: string } {
  const clean = posix.normalize(path).replace(/(.)\/$/, "$1");
  if (isDotted(path)) return { dir: clean, base: "." };
  return { dir: posix.dirname(clean), base: posix.basename(clean) || "/" };
}
