/** What `system check` looks at in this daemon. */
import { readFileSync } from "node:fs";
import type { ContainerStore } from "../../engine/containers/store.ts";
import { isRunning } from "../../engine/containers/lifecycle/state.ts";
import { layersOf } from "../../engine/containers/mounts/images.ts";
import type { ImageService } from "../../engine/images/service.ts";
import { auditFolders } from "../../engine/system/audit-folders.ts";
import { CheckService } from "../../engine/system/check.ts";
import type { VolumeService } from "../../engine/volumes/service.ts";
import { parseMountInfo } from "../../sys/mount-table.ts";
import { detachNow } from "../../sys/mounts.ts";

export interface CheckedParts {
  dataRoot: string;
  images: ImageService;
  store: ContainerStore;
  volumes: VolumeService;
  discard: (path: string) => void;
}

export function checkService({ dataRoot, images, store, volumes, discard }: CheckedParts): CheckService {
  const containers = (): ReadonlySet<string> => new Set([...store.list()].flatMap(layersOf));
  return new CheckService([
    () => images.audit({ containers }),
    () =>
      auditFolders({
        dataRoot,
        containers: () => [...store.list()].map((record) => ({ id: record.id, running: isRunning(record), started: record.state.status !== "created" })),
        volumes: () => volumes.known().map(({ name }) => name),
        hasLayer: (id) => store.get(id)?.storageDriver !== images.layers.driver || images.layers.has(id),
        mountpoints: () => parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8")).map(({ mountpoint }) => mountpoint),
        discardContainerFolder: discard,
        detach: detachNow,
      }),
  ]);
}
