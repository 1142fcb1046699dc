/** Volume drivers of plugins, by the plugins' names. */
import type { Plugins } from "../../core/plugins.ts";
import type { VolumeDriver } from "../../core/volume.ts";
import * as volumeRemote from "../../drivers/volume-remote/index.ts";
import type { VolumePlugins } from "../../engine/volumes/drivers.ts";
import { byName } from "../../lib/by-name.ts";

export function volumePlugins(plugins: Plugins): VolumePlugins {
  const driver = byName((name): VolumeDriver => volumeRemote.create({ name, find: () => plugins.find(name, "VolumeDriver") }));
  return {
    driver,
    requireDriver: async (name) => {
      await plugins.find(name, "VolumeDriver");
      return driver(name);
    },
    active: () => plugins.active("VolumeDriver"),
  };
}
