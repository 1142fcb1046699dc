import { writeFileSync } from "node:fs";
import { messageOf, systemError } from "../../lib/errors.ts";
import { replaceDeviceProgram } from "../../sys/device-program.ts";
import type { GroupWrite } from "./resources.ts";

/** Carries out one write to a running container's group. */
export function applyWrite(write: GroupWrite): void {
  if (write.kind === "deviceProgram") return changeDevices(write.path, write.program);
  try {
    writeFileSync(write.path, write.data, { flag: "r+" });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== undefined && write.optional?.includes(code)) return;
    throw systemError(`failed to write ${JSON.stringify(write.data)} to ${write.path}: ${code}`, error);
  }
}

function changeDevices(group: string, program: Uint8Array): void {
  try {
    replaceDeviceProgram(group, program);
  } catch (error) {
    throw systemError(`failed to change the device rules of ${group}: ${messageOf(error)}`, error);
  }
}
