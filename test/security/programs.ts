/** The attacks and naive operations in C, compiled once for each test file. */
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const withoutCompiler: string | false = spawnSync("cc", ["--version"]).error ? "needs a C compiler" : false;

export interface Programs extends Disposable {
  /** attacks.c, without libraries, so that it runs in any root file system. */
  attacks: string;
  /** lookup.c, with the C library's way of asking for users. */
  lookup: string;
  /** A library for that way, which leaves /marker wherever it is loaded. */
  hostileNss: string;
}

export function compiled(): Programs {
  const folder = mkdtempSync(join(tmpdir(), "gantry-attacks-"));
  // Other users run them too.
  chmodSync(folder, 0o755);
  const [attacks, lookup, hostileNss] = [join(folder, "attacks"), join(folder, "lookup"), join(folder, "libnss_hostile.so.2")];
  const cc = (args: string[], input = ""): void => void execFileSync("cc", ["-O1", ...args], { input, stdio: ["pipe", "ignore", "inherit"] });
  cc(["-static", "-o", attacks, join(import.meta.dirname, "attacks.c")]);
  cc(["-o", lookup, join(import.meta.dirname, "lookup.c")]);
  cc(["-shared", "-fPIC", "-nostdlib", "-o", hostileNss, "-x", "c", "-"], '#include <fcntl.h>\n__attribute__((constructor)) static void run(void) { open("/marker", O_CREAT | O_WRONLY, 0644); }\n');
  return { attacks, lookup, hostileNss, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}
