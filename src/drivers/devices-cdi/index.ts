/** Devices of the Container Device Interface. Its files are read anew each time: they are few, and change without notice. */
import type { DeviceDriver } from "../../core/devices.ts";
import { systemError } from "../../lib/errors.ts";
import { applyEdits } from "./edits.ts";
import { type CdiFile, type ContainerEdits, readFolder } from "./spec-files.ts";

interface Registry {
  devices: Map<string, { file: CdiFile; edits: ContainerEdits }>;
  /** Described twice in the same folder: nobody knows which is meant. */
  ambiguous: Set<string>;
  warnings: string[];
}

/** `folders`: a later one has priority. */
export function createCdiDriver(folders: readonly string[]): DeviceDriver {
  return {
    id: "cdi",
    async inject(spec, names) {
      const { devices, ambiguous, warnings } = await read(folders);
      const unknown = names.filter((name) => !devices.has(name));
      if (unknown.length > 0) {
        const reasons = [...unknown.filter((name) => ambiguous.has(name)).map((name) => `${name} is described by several files`), ...warnings];
        throw systemError(`CDI device injection failed: unresolvable CDI devices ${unknown.join(", ")}${reasons.length > 0 ? ` (${reasons.join("; ")})` : ""}`);
      }
      const files = new Set<CdiFile>();
      for (const name of names) {
        const { file, edits } = devices.get(name)!;
        if (!files.has(file)) applyEdits(spec, file.containerEdits);
        files.add(file);
        applyEdits(spec, edits);
      }
    },
    async list() {
      const { devices, warnings } = await read(folders);
      return { names: [...devices.keys()].sort(), warnings: warnings.map((warning) => `CDI: ${warning}`) };
    },
  };
}

async function read(folders: readonly string[]): Promise<Registry> {
  const registry: Registry = { devices: new Map(), ambiguous: new Set(), warnings: [] };
  for (const folder of folders) {
    const files = await readFolder(folder, (path, reason) => registry.warnings.push(`Error associated with spec file ${path}: ${reason}`));
    const seen = new Set<string>();
    for (const file of files) for (const { name, containerEdits } of file.devices) take(registry, seen, { name: `${file.kind}=${name}`, file, edits: containerEdits });
  }
  return registry;
}

function take({ devices, ambiguous, warnings }: Registry, seen: Set<string>, { name, file, edits }: { name: string; file: CdiFile; edits: ContainerEdits }): void {
  if (seen.has(name)) {
    warnings.push(`conflicting device ${name} (specs ${devices.get(name)?.file.path ?? "others"}, ${file.path})`);
    ambiguous.add(name);
    devices.delete(name);
    return;
  }
  seen.add(name);
  ambiguous.delete(name);
  devices.set(name, { file, edits });
}
