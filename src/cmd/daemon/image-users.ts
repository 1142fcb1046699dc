/** Which containers were made from an image: found once for all images, until a container changes. */
import type { ImageUser } from "../../core/image.ts";
import { isRunning } from "../../engine/containers/lifecycle/state.ts";
import { imagesOf } from "../../engine/containers/mounts/images.ts";
import type { ContainerStore } from "../../engine/containers/store.ts";
import type { Digest } from "../../lib/digest.ts";

export function imageUsers(store: ContainerStore): { containersUsing: (imageId: Digest) => ImageUser[]; containersGeneration: () => number } {
  let users: Map<string, ImageUser[]> | undefined;
  let generation = 0;
  store.onChange(() => {
    users = undefined;
    generation++;
  });
  return { containersUsing: (imageId) => (users ??= usersByImage(store)).get(imageId) ?? [], containersGeneration: () => generation };
}

function usersByImage(store: ContainerStore): Map<string, ImageUser[]> {
  const users = new Map<string, ImageUser[]>();
  for (const record of store.list()) {
    const user: ImageUser = { containerId: record.id, running: isRunning(record), imageRef: record.imageRef, ...(record.imageManifest ? { manifest: record.imageManifest.digest as Digest } : {}) };
    for (const id of new Set([record.imageId, ...imagesOf(record).map(({ image }) => image.id)])) {
      const others = users.get(id);
      if (others) others.push(user);
      else users.set(id, [user]);
    }
  }
  return users;
}
