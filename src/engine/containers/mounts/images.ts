/** The images among a container's mount points: kept by a snapshot from its creation to its removal, seen while it runs. */
import { createHash } from "node:crypto";
import type { ContainerRecord, ImageMount, MountPoint } from "../../../core/container.ts";
import { messageOf } from "../../../lib/errors.ts";
import type { ContainersContext } from "../context.ts";
import { mappedMounts, mapsOf } from "../user-namespace.ts";
import type { MountPlan } from "./points.ts";
import { partOf } from "./subpaths.ts";

type ImagePoint = MountPoint & { image: ImageMount };

export const imagesOf = (record: Pick<ContainerRecord, "mounts">): ImagePoint[] => record.mounts.filter((point): point is ImagePoint => point.image !== undefined);

/** Keys of all snapshots that are the container's. */
export const layersOf = (record: Pick<ContainerRecord, "id" | "mounts">): string[] => [record.id, ...imagesOf(record).map(({ image }) => image.layer)];

/** Keeps the images of a container in the making, then does `rest`. When something fails, nothing is left of it. */
export async function withImages(context: ContainersContext, record: ContainerRecord, { wanted, rest }: { wanted: MountPlan["images"]; rest: () => Promise<void> }): Promise<void> {
  const made: string[] = [];
  try {
    for (const [point, image] of wanted) {
      const layer = layerOf(record, point);
      await context.layers.create(layer, image);
      made.push(layer);
      (point as ImagePoint).image.layer = layer;
    }
    await rest();
  } catch (error) {
    for (const layer of made) await context.layers.remove(layer).catch((failure: unknown) => context.warn(`an image's layer of a container that could not be made: ${messageOf(failure)}`));
    throw error;
  }
}

/** One image can be at several places, and the same place is another container's, too. */
const layerOf = ({ id }: ContainerRecord, { destination }: MountPoint): string => `${id}-${createHash("sha256").update(destination).digest("hex").slice(0, 12)}`;

/** Makes the images appear for a run; where, by destination. `owner` is who gives the places back. */
export async function mountImages(context: ContainersContext, record: ContainerRecord, owner = record.id): Promise<Map<string, string>> {
  const sources = new Map<string, string>();
  for (const { destination, image } of imagesOf(record)) {
    await using layer = await context.layers.open(image.layer);
    using view = context.openRootfs(mappedMounts(layer.mounts, mapsOf(context.settings, record)));
    const folder = context.subpaths.place(owner, (place) => view.attach(place));
    sources.set(destination, image.subpath === "" ? folder : partOf(context.subpaths, owner, { folder, subpath: image.subpath }));
  }
  return sources;
}

/** Of a container that is being removed. */
export async function releaseImages(context: ContainersContext, record: ContainerRecord): Promise<void> {
  for (const { image } of imagesOf(record)) await context.layers.remove(image.layer);
}
