/** `docker image prune`. */
import type { Digest } from "../../lib/digest.ts";
import { conflict } from "../../lib/errors.ts";
import { faultPoint } from "../../lib/fault.ts";
import { Filters } from "../../lib/filters.ts";
import { canonicalName, parseReference, withDefaultTag } from "../../lib/reference.ts";
import { requireState, stateOf } from "../prune-state.ts";
import { bytesOf, collect, garbageOf, roomIsBack } from "./collect.ts";
import type { ImageContext } from "./context.ts";
import { emitImage, emitUntag } from "./events.ts";
import { imageFilter } from "./filters.ts";
import { familiarNameOf } from "./find.ts";
import type { RemovalRecord } from "./remove.ts";
import { type ImageName, danglingName, isDangling } from "./store.ts";

export interface PruneReport {
  ImagesDeleted: RemovalRecord[] | null;
  SpaceReclaimed: number;
}

/** What a prune would do, and what names that state. */
export interface PrunePlan extends PruneReport {
  State: Digest;
}

export interface PruneRequest {
  filters: Filters;
  /** Of a plan. "conflict" when it would be another one now. */
  state?: string | undefined;
}

const acceptedFilters = ["dangling", "label", "label!", "until"];
const pruning = new WeakSet<ImageContext>();

/** Images without a name, or with the filter dangling=false all that no container uses; and what unfinished pulls left. */
export async function pruneImages(context: ImageContext, request: PruneRequest): Promise<PruneReport> {
  if (pruning.has(context)) throw conflict("a prune operation is already running");
  pruning.add(context);
  try {
    const planned = request.state === undefined ? undefined : await planPrune(context, request.filters);
    if (planned) requireState(request.state, planned.State, "images");
    const images = wanted(context, request.filters);
    const names = new Set(planned?.ImagesDeleted?.flatMap((record) => ("Untagged" in record ? [record.Untagged] : [])));
    const unfinished = await dropUnfinished(context);
    faultPoint("image-prune-begun");
    const report = await removeAll(context, planned ? images.filter((image) => names.has(familiarNameOf(image))) : images);
    await roomIsBack(context);
    return { ...report, SpaceReclaimed: report.SpaceReclaimed + unfinished };
  } finally {
    pruning.delete(context);
  }
}

/** Nothing is removed. `without`: containers that are taken as gone. */
export async function planPrune(context: ImageContext, filters: Filters, without: ReadonlySet<string> = new Set()): Promise<PrunePlan> {
  const images = wanted(context, filters, without);
  const names = new Set(images.map(({ name }) => name));
  const left = [...context.store.all()].filter(({ name }) => !names.has(name)).map(({ target }) => target);
  const { blobs, snapshots } = garbageOf(context, { targets: [...left, ...context.unfinished.underWay()], isLeftOver: (key) => without.has(key) });
  const garbage = { blobs, snapshots: new Set([...snapshots].filter((key) => !without.has(key))) };
  const bytes = (await bytesOf(context, garbage)) + partialBytes(context);
  const records = images.map((image): RemovalRecord[] => [{ Untagged: familiarNameOf(image) }]);
  /* A document goes with the last image that has it. */
  const last = new Map(images.flatMap((image, at) => documentsOf(context, image).map((digest) => [digest, at] as const)));
  for (const [digest, at] of last) if (garbage.blobs.has(digest)) records[at]?.push({ Deleted: digest });
  const state = stateOf([records, [...garbage.blobs].sort(), [...garbage.snapshots].sort(), bytes]);
  return { ImagesDeleted: records.length === 0 ? null : records.flat(), SpaceReclaimed: bytes, State: state };
}

function wanted(context: ImageContext, filters: Filters, without: ReadonlySet<string> = new Set()): ImageName[] {
  filters.validate(acceptedFilters);
  const danglingOnly = filters.boolean("dangling") ?? true;
  const others = new Filters(new Map(acceptedFilters.slice(1).flatMap((key) => (filters.has(key) ? [[key, new Set(filters.values(key))] as const] : []))));
  return candidates(context, { keep: imageFilter(context, others), danglingOnly, without });
}

/** The bytes that come back. */
async function dropUnfinished(context: ImageContext): Promise<number> {
  context.unfinished.release();
  const partial = partialBytes(context);
  for (const { ref, open } of context.content.ingests()) if (!open) context.content.abort(ref);
  return partial + (await collect(context)).bytes;
}

const partialBytes = ({ content }: ImageContext): number => content.ingests().reduce((sum, { offset, open }) => sum + (open ? 0 : offset), 0);

/** Without names that containers were made from, nor the last name of an image in use by its id. */
function candidates(context: ImageContext, { keep, danglingOnly, without }: { keep: (image: ImageName) => boolean; danglingOnly: boolean; without: ReadonlySet<string> }): ImageName[] {
  const wanted = new Map<string, ImageName>();
  for (const image of context.store.all()) if ((!danglingOnly || isDangling(image)) && keep(image)) wanted.set(image.name, image);
  const used = new Set<Digest>();
  const names = new Map<Digest, number>();
  for (const digest of context.store.targets()) {
    names.set(digest, context.store.namesOf(digest).length);
    for (const { imageRef } of context.containersUsing(digest).filter(({ containerId }) => !without.has(containerId))) {
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
    const documents = documentsOf(context, image);
    const name = familiarNameOf(image);
    context.store.delete(image.name);
    faultPoint("image-prune-unnamed");
    emitUntag(context, image, name);
    report.ImagesDeleted.push({ Untagged: name });
    const dropped = await collect(context);
    report.SpaceReclaimed += dropped.bytes;
    for (const digest of documents) if (dropped.blobs.has(digest)) report.ImagesDeleted.push({ Deleted: digest });
    if (dropped.blobs.has(image.target.digest)) emitImage(context, "delete", image, name);
  }
  return { ...report, ImagesDeleted: report.ImagesDeleted.length === 0 ? null : report.ImagesDeleted };
}

/** Its index and manifests; of a damaged image what it is named by. */
function documentsOf({ documents }: ImageContext, { target }: ImageName): Digest[] {
  try {
    return [...new Set([target.digest, ...documents.reachableManifests(target).map(({ digest }) => digest)])];
  } catch {
    return [target.digest];
  }
}
