/** The client's entry point: knows the package, and what of the engine the client may use. */
import { readFileSync } from "node:fs";
import { main } from "../cli/main.ts";
import type { Wiring } from "../cli/session.ts";

const packageRoot = findRoot(import.meta.dirname);

const wiring: Wiring = {
  get version() {
    return (JSON.parse(readFileSync(`${packageRoot}/package.json`, "utf8")) as { version: string }).version;
  },
  get commit() {
    return commit();
  },
  packageRoot,
  daemon: [`${packageRoot}/bin/gantryd`],
  localFiles: async () => (await import("./local-files.ts")).localFiles,
  check: async () => (await import("../oci/check.ts")).checkHost(),
};

process.exit(await main(process.argv.slice(2), { name: "gantry", wiring }));

/** The folder of package.json: two or more above this file, bundled or not. */
function findRoot(from: string): string {
  for (let folder = from; folder !== "/"; folder = folder.slice(0, folder.lastIndexOf("/")) || "/") {
    try {
      readFileSync(`${folder}/package.json`);
      return folder;
    } catch {}
  }
  return from;
}

/** The commit of a clone, or what the package was made from. */
function commit(): string {
  try {
    const head = readFileSync(`${packageRoot}/.git/HEAD`, "utf8").trim();
    const hash = head.startsWith("ref: ") ? readFileSync(`${packageRoot}/.git/${head.slice(5)}`, "utf8").trim() : head;
    return hash.slice(0, 7);
  } catch {
    return "unknown";
  }
}
