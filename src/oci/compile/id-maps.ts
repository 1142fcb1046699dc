import { invalidParameter } from "../../lib/errors.ts";
import type { OciIdMapping } from "../../lib/oci-spec.ts";

const ids = 2 ** 32;

/** Mappings as the kernel reads them from /proc/PID/uid_map: "inside outside length" lines. */
export function idMapText(mappings: readonly OciIdMapping[], where: string): string {
  const text = mappings.map((mapping, index) => `${checked(mapping, `${where}[${index}]`)}\n`).join("");
  for (const side of ["containerID", "hostID"] as const) checkApart(mappings, side, where);
  return text;
}

/** Of a user namespace: its root is who starts the container. */
export function namespaceMapText(mappings: readonly OciIdMapping[], where: string): string {
  if (mappings.length > 0 && !mappings.some(({ containerID }) => containerID === 0)) throw invalidParameter(`${where}: the container's root (containerID 0) is not mapped`);
  return idMapText(mappings, where);
}

function checked(mapping: OciIdMapping, where: string): string {
  const { containerID, hostID, size } = mapping;
  for (const [name, value] of Object.entries({ containerID, hostID, size })) {
    if (!Number.isInteger(value) || value < 0 || value >= ids) throw invalidParameter(`${where}.${name} ${value} is not a number of 32 bits`);
  }
  if (size === 0) throw invalidParameter(`${where}.size is 0`);
  if (Math.max(containerID, hostID) + size > ids) throw invalidParameter(`${where}.size ${size} goes beyond the last id`);
  return `${containerID} ${hostID} ${size}`;
}

function checkApart(mappings: readonly OciIdMapping[], side: "containerID" | "hostID", where: string): void {
  const sorted = mappings.map((mapping, index) => ({ index, from: mapping[side], end: mapping[side] + mapping.size })).sort((one, other) => one.from - other.from);
  for (const [at, { index, from }] of sorted.entries()) {
    const before = sorted[at - 1];
    if (before && from < before.end) throw invalidParameter(`${where}[${index}].${side} ${from} is in ${where}[${before.index}] as well`);
  }
}
