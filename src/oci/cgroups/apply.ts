import { writeFileSync } from "node:fs";
import { notImplemented, systemError } from "../../lib/errors.ts";
import type { GroupWrite } from "./resources.ts";

/** Carries out one write to a running container's group. */
export function applyWrite(write: GroupWrite): void {
  // A further program would be added to the first, which decides as well: it cannot widen what the first denies.
  if (write.kind === "deviceProgram") throw notImplemented("changing the device rules of a running container is not supported with cgroup v2");
  try {
    writeFileSync(write.path, write.data, { flag: "r+" });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== undefined && write.optional?.includes(code)) return;
    throw systemError(`failed to write ${JSON.stringify(write.data)} to ${write.path}: ${code}`, error);
  }
}
