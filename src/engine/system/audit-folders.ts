/** Whether containers and volumes have their folders and layers, every folder its owner, and every mount below the data root its user. */
import { existsSync, readdirSync } from "node:fs";
import { join, relative, sep } from "node:path";
import type { Audit, Finding } from "../../core/audit.ts";

export interface FolderAuditOptions {
  dataRoot: string;
  containers: () => Iterable<{ id: string; running: boolean; started: boolean }>;
  volumes: () => Iterable<string>;
  hasLayer: (containerId: string) => boolean;
  mountpoints: () => string[];
  discardContainerFolder: (path: string) => void;
  detach: (path: string) => void;
  /** Between the two looks. */
  patienceMilliseconds?: number;
}

/** Below the data root, with a folder for each container. */
const perContainer: ReadonlySet<string> = new Set(["containers", "shm", "volume-parts"]);

/** Says what is wrong at two moments: of what is being made, some is there before the rest. */
export async function auditFolders(options: FolderAuditOptions): Promise<Audit> {
  const first = look(options);
  if (first.findings.length === 0) return first;
  await new Promise((resolve) => setTimeout(resolve, options.patienceMilliseconds ?? 2000));
  const again = look(options);
  const both = again.findings.filter((finding) => first.findings.some((former) => former.id === finding.id && former.problem === finding.problem));
  return { ...again, findings: both };
}

function look(options: FolderAuditOptions): Audit {
  const containers = new Map([...options.containers()].map((container) => [container.id, container]));
  const volumes = new Set(options.volumes());
  const mounts = options.mountpoints().filter((path) => path.startsWith(`${options.dataRoot}${sep}`));
  const findings: Finding[] = [];
  for (const [id, { started }] of containers) {
    if (started && !existsSync(join(options.dataRoot, "containers", id))) findings.push({ kind: "container", id, problem: "its folder is missing", remedy: "remove it" });
    if (!options.hasLayer(id)) findings.push({ kind: "container", id, problem: "its writable layer is missing", remedy: "remove it" });
  }
  for (const name of foldersOf(options.dataRoot, "containers")) {
    const path = join(options.dataRoot, "containers", name);
    if (!containers.has(name)) findings.push({ kind: "file", id: path, problem: "no container has this folder", repair: () => options.discardContainerFolder(path) });
  }
  for (const name of foldersOf(options.dataRoot, "volumes")) {
    if (!volumes.has(name)) findings.push({ kind: "volume", id: name, problem: "there is data but no volume of this name", remedy: `move ${join(options.dataRoot, "volumes", name)} away, or make the volume` });
  }
  for (const path of mounts) {
    const [area = "", owner = ""] = relative(options.dataRoot, path).split(sep);
    const used = perContainer.has(area) ? containers.get(owner)?.running === true : area === "volumes" && volumes.has(owner);
    if (!used) findings.push({ kind: "mount", id: path, problem: "nothing that runs uses this mount", repair: () => options.detach(path) });
  }
  return { counts: { containers: containers.size, volumes: volumes.size, mounts: mounts.length }, findings };
}

function foldersOf(dataRoot: string, area: string): string[] {
  const path = join(dataRoot, area);
  return existsSync(path) ? readdirSync(path).filter((name) => name !== "trash" && !name.startsWith(".")) : [];
}
