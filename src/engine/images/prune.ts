/** `docker image prune`. */
import type { Digest } from "../../lib/digest.ts";
import { conflict } from "../../lib/errors.ts";
import { Filters } from "../../lib/filters.ts";
import { canonicalName, parseReference, withDefaultTag } from "../../lib/reference.ts";
import { collect } from "./collect.ts";
import type { ImageContext } from "./context.ts";
import { emitImage, emitUntag } from "./events.ts";
import { imageFilter } from "./filters.ts";
import { familiarNameOf } from "./find.ts";
import type { RemovalRecord } from "./remove.ts";
import { type ImageName, danglingName, isDangling } from "./store.ts";
import { summarize } from "./summary.ts";

export interface PruneReport {
  ImagesDeleted: RemovalRecord[] | null;
  SpaceReclaimed: number;
}

const acceptedFilters = ["dangling", "label", "label!", "until"];
const pruning = new WeakSet<ImageContext>();

/** Images without a name, or with the filter dangling=false all that no container uses. */
export async function pruneImages(context: ImageContext, filters: Filters): Promise<PruneReport> {
  if (pruning.has(context)) throw conflict("a prune operation is already running");
  pruning.add(context);
  try {
    filters.validate(acceptedFilters);
    const danglingOnly = filters.boolean("dangling") ?? true;
    const others = new Filters(new Map(acceptedFilters.slice(1).flatMap((key) => (filters.has(key) ? [[key, new Set(filters.values(key))] as const] : []))));
    return await removeAll(context, candidates(context, imageFilter(context, others), danglingOnly));
  } finally {
    pruning.delete(context);
  }
}

/** Without names that containers were made from, nor the last name of an image in use by its id. */
function candidates(context: ImageContext, keep: (image: ImageName) => boolean, danglingOnly: boolean): ImageName[] {
  const wanted = new Map<string, ImageName>();
  for (const image of context.store.all()) if ((!danglingOnly || isDangling(image)) && keep(image)) wanted.set(image.name, image);
  const used = new Set<Digest>();
  const names = new Map<Digest, number>();
  for (const digest of context.store.targets()) {
    names.set(digest, context.store.namesOf(digest).length);
    for (const { imageRef } of context.containersUsing(digest)) {
      wanted.delete(danglingName(digest));
      if (digest.startsWith(`sha256:${imageRef.replace(/^sha256:/, "")}`) || imageRef.endsWith(`@${digest}`)) used.add(digest);
      for (const name of namesOf(imageRef)) wanted.delete(name);
    }
  }
  for (const name of [...wanted.keys()].sort()) {
    const digest = wanted.get(name)?.target.digest;
    if (digest === undefined) continue;
    const left = names.get(digest) ?? 0;
    if (left > 1) names.set(digest, left - 1);
    else if (used.has(digest)) wanted.delete(name);
  }
  return [...wanted.values()];
}

function namesOf(text: string): string[] {
  try {
    const reference = withDefaultTag(parseReference(text));
    const { digest: _, ...tagged } = reference;
    return [canonicalName(reference), canonicalName(tagged)];
  } catch {
    return [];
  }
}

async function removeAll(context: ImageContext, images: readonly ImageName[]): Promise<PruneReport> {
  const report: { ImagesDeleted: RemovalRecord[]; SpaceReclaimed: number } = { ImagesDeleted: [], SpaceReclaimed: 0 };
  for (const image of images) {
    const { blobs, chains, manifests } = await summarize(context, image.target, { platform: context.host, any: true });
    const layers = await Promise.all([...chains].map(async (name) => [name, await context.layers.layerBytes(name)] as const));
    const name = familiarNameOf(image);
    context.store.delete(image.name);
    emitUntag(context, image, name);
    report.ImagesDeleted.push({ Untagged: name });
    const dropped = await collect(context);
    for (const [digest, bytes] of blobs) if (dropped.blobs.has(digest)) report.SpaceReclaimed += bytes;
    for (const [layer, bytes] of layers) if (dropped.snapshots.has(layer)) report.SpaceReclaimed += bytes;
    const documents = new Set([image.target.digest, ...manifests.map((manifest) => manifest.ID)]);
    for (const digest of documents) if (dropped.blobs.has(digest)) report.ImagesDeleted.push({ Deleted: digest });
    if (dropped.blobs.has(image.target.digest)) emitImage(context, "delete", image, name);
  }
  return { ...report, ImagesDeleted: report.ImagesDeleted.length === 0 ? null : report.ImagesDeleted };
}
