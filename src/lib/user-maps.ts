/** Which ids of the host the users and groups of a user namespace are. */
import type { OciIdMapping } from "./oci-spec.ts";

export interface UserMaps {
  uids: readonly OciIdMapping[];
  gids: readonly OciIdMapping[];
}

export interface Owner {
  uid: number;
  gid: number;
}

/** The namespace's root, as the host counts. */
export const rootOf = ({ uids, gids }: UserMaps): Owner => ({ uid: hostId(uids), gid: hostId(gids) });

const hostId = (mappings: readonly OciIdMapping[]): number => mappings.find(({ containerID }) => containerID === 0)?.hostID ?? 0;

/** As the kernel reads and writes it, user_namespaces(7): "inside outside length" lines. */
export const mapText = (mappings: readonly OciIdMapping[]): string => mappings.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join("");

export function parseMapText(text: string): OciIdMapping[] {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line) => {
    const [containerID = 0, hostID = 0, size = 0] = line.trim().split(/\s+/).map(Number);
    return { containerID, hostID, size };
  });
}

const mapsNothing = (mappings: readonly OciIdMapping[]): boolean => mappings.every(({ containerID, hostID }) => containerID === hostID);

/** Undefined when all ids are what they are outside. */
export const mapsUnlessSame = (maps: UserMaps): UserMaps | undefined => (mapsNothing(maps.uids) && mapsNothing(maps.gids) ? undefined : maps);
