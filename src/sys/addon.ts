/** Loads native/addon (built to build/native/gantry.node). Typed views of its functions are in the files beside this one. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** The folder of native programs (gantry-shim, gantry-init) and of the addon: build/native of the package that this file is in. */
export const nativeDir: string = findNativeDir();

function findNativeDir(): string {
  for (let dir = import.meta.dirname; ; dir = dirname(dir)) {
    const candidate = join(dir, "build", "native");
    if (existsSync(join(candidate, "gantry.node"))) return candidate;
    if (dir === dirname(dir)) throw new Error(`no build/native/gantry.node above ${import.meta.dirname}: run bin/gantry once, it compiles the native parts`);
  }
}

/** The addon's exports. Each file of src/sys narrows this to the functions that it wraps. */
export const addon: Record<string, unknown> = createRequire(import.meta.url)(join(nativeDir, "gantry.node")) as Record<string, unknown>;
