/** `docker images`. */
import type { Digest } from "../../lib/digest.ts";
import type { Filters } from "../../lib/filters.ts";
import type { ImageContext } from "./context.ts";
import { imageFilter } from "./filters.ts";
import { unixSeconds } from "./inspect.ts";
import { type ImageSummary, type ManifestSummary, printable, summarize, tagsAndDigests } from "./summary.ts";
import type { ImageName } from "./store.ts";

/** One row, in the words of the Engine API. */
export interface ImageRow {
  Containers: number;
  Created: number;
  Id: Digest;
  Labels: Record<string, string> | null;
  ParentId: string;
  Descriptor?: object;
  Manifests?: ManifestSummary[];
  RepoDigests: string[];
  RepoTags: string[];
  SharedSize: number;
  Size: number;
}

export interface ListOptions {
  filters: Filters;
  sharedSize: boolean;
  manifests: boolean;
}

const acceptedFilters = ["dangling", "label", "label!", "before", "since", "reference", "until"];

/** Newest first. Throws Docker's refusals of filters. */
export async function listImages(context: ImageContext, options: ListOptions): Promise<ImageRow[]> {
  options.filters.validate(acceptedFilters);
  const keep = imageFilter(context, options.filters);
  const byTarget = new Map<Digest, ImageName[]>();
  for (const image of context.store.all()) {
    if (!keep(image)) continue;
    const names = byTarget.get(image.target.digest);
    if (names) names.push(image);
    else byTarget.set(image.target.digest, [image]);
  }
  const found: { row: ImageRow; summary: ImageSummary }[] = [];
  for (const names of byTarget.values()) {
    const [first] = names;
    if (!first) continue;
    const summary = await summarize(context, first.target, { platform: context.host, any: true });
    found.push({ row: rowOf(names, first, summary, options), summary });
  }
  if (options.sharedSize) addSharedSizes(found);
  return found.map(({ row }) => row).sort((a, b) => b.Created - a.Created);
}

function rowOf(names: readonly ImageName[], { target }: ImageName, summary: ImageSummary, options: ListOptions): ImageRow {
  const { tags, digests } = tagsAndDigests(names);
  const document = summary.best?.image.document;
  return {
    Containers: document ? summary.containers : -1,
    Created: unixSeconds(document?.created),
    Id: target.digest,
    Labels: document ? { ...document.config.Labels } : null,
    ParentId: "",
    Descriptor: printable(target),
    ...(options.manifests ? { Manifests: summary.manifests } : {}),
    RepoDigests: document ? digests : [target.digest],
    RepoTags: tags,
    SharedSize: -1,
    Size: summary.totalBytes,
  };
}

/** What more than one of the listed images has: layers by chainID, and blobs. */
function addSharedSizes(found: readonly { row: ImageRow; summary: ImageSummary }[]): void {
  const chains = new Map<Digest, number>();
  const blobs = new Map<Digest, number>();
  for (const { summary } of found) {
    for (const name of summary.chains.keys()) chains.set(name, (chains.get(name) ?? 0) + 1);
    for (const digest of summary.blobs.keys()) blobs.set(digest, (blobs.get(digest) ?? 0) + 1);
  }
  for (const { row, summary } of found) {
    row.SharedSize = 0;
    for (const [name, bytes] of summary.chains) if ((chains.get(name) ?? 0) > 1) row.SharedSize += bytes;
    for (const [digest, bytes] of summary.blobs) if ((blobs.get(digest) ?? 0) > 1) row.SharedSize += bytes;
  }
}
