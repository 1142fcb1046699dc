/** The user namespace of a container: the host's, or one with the daemon's maps (--userns-remap). */
import type { ContainerRecord } from "../../core/container.ts";
import type { RootfsMount } from "../../core/runtime.ts";
import { conflict } from "../../lib/errors.ts";
import type { OciLinux } from "../../lib/oci-spec.ts";
import type { UserMaps } from "../../lib/user-maps.ts";
import type { SpecInput } from "./spec/host.ts";

export interface UserSettings {
  /** Of containers that do not ask for the host's user namespace; absent: all have the host's. */
  userMaps?: UserMaps;
}

type Remapped = { hostConfig: Pick<ContainerRecord["hostConfig"], "UsernsMode"> };

export const mapsOf = ({ userMaps }: UserSettings, { hostConfig }: Remapped): UserMaps | undefined => (hostConfig.UsernsMode === "host" ? undefined : userMaps);

/** Layers have on the disk the ids that containers see; these show them to a container's user namespace. */
export const mappedMounts = (mounts: readonly RootfsMount[], maps: UserMaps | undefined): RootfsMount[] => mounts.map((mount) => (maps ? { ...mount, maps } : mount));

/** What linux.namespaces and the maps say of it. `joined` are the processes whose namespaces the container shares: with them it shares this one, too. */
export function userNamespaceOf({ record, host, settings }: SpecInput, joined: readonly number[]): Pick<OciLinux, "namespaces" | "uidMappings" | "gidMappings"> {
  const maps = mapsOf(settings, record);
  if (!maps) return {};
  const mappings = { uidMappings: [...maps.uids], gidMappings: [...maps.gids] };
  const [pid] = joined;
  if (pid === undefined) return { namespaces: [{ type: "user" }], ...mappings };
  const own = host.userNamespaceOf("self");
  const others = new Set(joined.map((one) => host.userNamespaceOf(one)));
  if (others.has(own)) throw conflict("a container with a user namespace of its own cannot share namespaces of one in the host's: start both with --userns=host, or none");
  if (others.size > 1) throw conflict("cannot share namespaces of containers with different user namespaces: start them with --userns=host");
  return { namespaces: [{ type: "user", path: `/proc/${pid}/ns/user` }], ...mappings };
}
