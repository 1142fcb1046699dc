/** The local volume driver: folders below the data root, or what the kernel can mount on them. */
import type { VolumeDriver } from "../../core/volume.ts";
import type { Owner } from "../../lib/user-maps.ts";
import { LocalVolumes } from "./local.ts";

/** `dir`: <root>/volumes, made when missing. `owner`: of new volumes, otherwise this process. */
export const create = (dir: string, owner?: Owner): VolumeDriver => new LocalVolumes(dir, owner);
