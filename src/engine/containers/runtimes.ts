/** The runtimes that containers may name. */
import type { RuntimeProgram } from "../../core/runtime.ts";
import { invalidParameter } from "../../lib/errors.ts";

export interface Runtimes {
  /** Of containers that name none. */
  readonly defaultName: string;
  /** By their names; undefined for the engine's own. */
  readonly programs: ReadonlyMap<string, RuntimeProgram | undefined>;
}

/** Undefined: the engine's own. Throws Docker's words for a name that is not configured, or not any more. */
export function runtimeNamed({ programs }: Runtimes, name: string): RuntimeProgram | undefined {
  if (programs.has(name)) return programs.get(name);
  throw invalidParameter(`unknown or invalid runtime name: ${name}`);
}
