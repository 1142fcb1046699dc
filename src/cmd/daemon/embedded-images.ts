/** Images that the package brings. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { nativeDir } from "../../sys/addon.ts";

/** Archives by canonical name. Beside build/native. */
export function embeddedImages(): Record<string, string> {
  const archive = join(dirname(nativeDir), "images", "hello-world.tar");
  return existsSync(archive) ? { "docker.io/library/hello-world:latest": archive } : {};
}
