/** The client's entry point: knows the package, and what of the engine the client may use. */
import { existsSync } from "node:fs";
import { main } from "../cli/main.ts";
import { CLIENT_VERSION, type Wiring } from "../cli/session.ts";
import { commit } from "./commit.ts";
import manifest from "../../package.json" with { type: "json" };

const isDocker = process.env["GANTRY_CALLED"] === "docker";
// What it starts has a name of its own.
delete process.env["GANTRY_CALLED"];

const wiring: Wiring = {
  version: isDocker ? CLIENT_VERSION : manifest.version,
  commit,
  get packageRoot() {
    return findRoot();
  },
  get daemon() {
    return [`${findRoot()}/bin/gantryd`];
  },
  connect: (path) => clientAddon().connect(path),
  localFiles: async () => (await import("./local-files.ts")).localFiles,
  check: async () => (await import("../oci/check.ts")).checkHost(),
};

void main(process.argv.slice(2), { name: isDocker ? "docker" : "gantry", wiring }).then((status) => process.exit(status));

interface ClientAddon {
  connect(path: string): number;
}

function clientAddon(): ClientAddon {
  const addon = { exports: {} as ClientAddon };
  process.dlopen(addon, `${findRoot()}/build/native/client.node`);
  return addon.exports;
}

/** The package's folder: some folders above this file, bundled or not. */
function findRoot(): string {
  for (let folder = import.meta.dirname; folder !== "/"; folder = folder.slice(0, folder.lastIndexOf("/")) || "/") {
    if (existsSync(`${folder}/bin/gantryd`)) return folder;
  }
  return import.meta.dirname;
}
