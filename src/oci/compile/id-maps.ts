import { invalidParameter } from "../../lib/errors.ts";
import type { OciIdMapping } from "../../lib/oci-spec.ts";

/** Mappings as the kernel reads them from /proc/PID/uid_map: "inside outside length" lines. */
export function idMapText(mappings: readonly OciIdMapping[], where: string): string {
  return mappings.map((mapping, index) => `${checked(mapping, `${where}[${index}]`)}\n`).join("");
}

function checked({ containerID, hostID, size }: OciIdMapping, where: string): string {
  for (const [name, value] of Object.entries({ containerID, hostID, size })) {
    if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) throw invalidParameter(`${where}.${name} ${value} is not a number of 32 bits`);
  }
  if (size === 0) throw invalidParameter(`${where}.size is 0`);
  return `${containerID} ${hostID} ${size}`;
}
