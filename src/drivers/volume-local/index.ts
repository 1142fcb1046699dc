/** The local volume driver: folders below the data root, or what the kernel can mount on them. */
import type { VolumeDriver } from "../../core/volume.ts";
import { LocalVolumes } from "./local.ts";

/** `dir`: <root>/volumes, made when missing. */
export const create = (dir: string): VolumeDriver => new LocalVolumes(dir);
