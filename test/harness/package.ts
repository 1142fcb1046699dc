/** Copies of this package that differ, as versions do. */
import { appendFileSync, cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { project } from "./engine.ts";

export interface Version {
  version: string;
  /** Migrations of the state database that this project does not have: id and SQL. */
  migrations?: readonly [id: string, sql: string][];
}

/** Makes a package of another version in `folder`: its programs, native ones too, are other files with other contents. */
export function otherVersion(folder: string, { version, migrations = [] }: Version): string {
  for (const part of ["bin", "build", "dist/programs", "scripts"]) mkdirSync(join(folder, part), { recursive: true });
  cpSync(join(project, "bin"), join(folder, "bin"), { recursive: true });
  cpSync(join(project, "scripts/launch"), join(folder, "scripts/launch"));
  cpSync(join(project, "build/native"), join(folder, "build/native"), { recursive: true });
  cpSync(join(project, "build/images"), join(folder, "build/images"), { recursive: true });
  symlinkSync(join(project, "build/node"), join(folder, "build/node"));
  writeFileSync(join(folder, "build/ready"), "");
  // Behind what is loaded.
  for (const program of ["gantry-shim", "gantry-relay"]) appendFileSync(join(folder, "build/native", program), version);
  for (const name of readdirSync(join(project, "dist")).filter((file) => file.endsWith(".js"))) copyProgram(folder, name, { version, migrations });
  return folder;
}

/** The entry, and the one program that it loads. */
function copyProgram(folder: string, name: string, { version, migrations = [] }: Version): void {
  const entry = readFileSync(join(project, "dist", name), "utf8");
  const program = /\/(programs\/[\w.-]+\.js)"/.exec(entry)?.[1];
  if (program === undefined) throw new Error(`dist/${name} loads no program`);
  const added = migrations.map(([id, sql]) => `{id:${JSON.stringify(id)},sql:${JSON.stringify(sql)}},`).join("");
  const code = readFileSync(join(project, "dist", program), "latin1");
  writeFileSync(join(folder, "dist", name), entry);
  writeFileSync(join(folder, "dist", program), changed(code, version, added), "latin1");
}

function changed(code: string, version: string, migrations: string): string {
  return code
    .replace(/version:"\d+\.\d+\.\d+"(?=,description)/, `version:${JSON.stringify(version)}`)
    .replace('SERVER_VERSION="', `SERVER_VERSION="${version}-`)
    .replace('{id:"containers-3",', `${migrations}{id:"containers-3",`);
}
