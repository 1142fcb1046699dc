/** The OCI runtime's entry point. */
import { readFileSync } from "node:fs";
import { main } from "../oci/cli/main.ts";

process.exitCode = await main(process.argv.slice(2), version());

/** Of package.json, two or more folders above this file, bundled or not. */
function version(): string {
  for (let folder = import.meta.dirname; folder !== ""; folder = folder.slice(0, folder.lastIndexOf("/"))) {
    try {
      return (JSON.parse(readFileSync(`${folder}/package.json`, "utf8")) as { version: string }).version;
    } catch {}
  }
  return "unknown";
}
