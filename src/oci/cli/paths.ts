/** Flags whose values are paths: relative ones are the caller's. */
import type { FlagSpec, FlagType, FlagValues } from "../../lib/flags.ts";
import type { Caller } from "./caller.ts";

/** For what gantry-runtime itself opens; what only gantry-shim opens stays as it is, sockets' names are short. */
export const path: FlagType = { word: "path", default: "" };

/** Puts the caller's folder before relative values; ".." keeps what it means after a link. Returns all values that there are. */
export function makeAbsolute(specs: readonly FlagSpec[], flags: FlagValues, { cwd }: Caller): string[] {
  const values: string[] = [];
  for (const { name } of specs.filter(({ type }) => type === path)) {
    const value = flags.string(name);
    if (value !== "" && !value.startsWith("/")) flags.set(name, value === "." ? cwd : `${cwd}/${value}`);
    if (value !== "") values.push(flags.string(name));
  }
  return values;
}
