/** `docker image inspect` and `docker history`. */
import type { Digest } from "../../lib/digest.ts";
import { notFound, systemError } from "../../lib/errors.ts";
import type { ImageDocument, ImageSettings } from "../../lib/oci-image.ts";
import { type Platform, formatPlatform } from "../../lib/platform.ts";
import { rfc3339Nano } from "../../lib/rfc3339.ts";
import type { ImageContext } from "./context.ts";
import { bestFor } from "./documents.ts";
import { familiarNameOf, findImage } from "./find.ts";
import { type ManifestSummary, printable, summarize, tagsAndDigests } from "./summary.ts";

/** In the words of the Engine API; absent fields were empty. */
export interface ImageInspect {
  Id: Digest;
  RepoTags: string[];
  RepoDigests: string[];
  /** Of an image that was committed: the id of its base. */
  Parent?: string;
  Comment?: string;
  Created?: string;
  Author?: string;
  Config: ImageSettings;
  Architecture: string;
  Variant?: string;
  Os: string;
  OsVersion?: string;
  Size: number;
  RootFS: { Type?: string; Layers?: Digest[] };
  Metadata: { LastTagTime: string };
  Descriptor?: object;
  Manifests?: ManifestSummary[];
}

/** Of a manifest: the id of the image that it was committed from. */
export const parentAnnotation = "org.mobyproject.image.parent";

export interface InspectOptions {
  platform: Platform | undefined;
  manifests: boolean;
}

export async function inspectImage(context: ImageContext, text: string, options: InspectOptions): Promise<ImageInspect> {
  const found = findImage(context.store, text);
  const names = context.store.namesOf(found.target.digest);
  const summary = await summarize(context, found.target, { platform: options.platform ?? context.host, any: options.platform === undefined });
  if (!summary.best && options.platform) throw platformMissing(text, options.platform);
  /* Says what is wrong with an image that cannot be read. */
  if (!summary.best) context.documents.imagesOf(found.target);
  const image = summary.best?.image;
  const target = options.platform && image ? image.descriptor : found.target;
  const { tags, digests } = tagsAndDigests(names);
  return {
    Id: target.digest,
    RepoTags: tags,
    RepoDigests: digests,
    ...withoutEmpty({ Parent: image?.manifest.annotations?.[parentAnnotation] }),
    ...documentFields(image?.document),
    Size: summary.best?.bytes ?? summary.totalBytes,
    Metadata: { LastTagTime: rfc3339Nano(BigInt(Math.max(...names.map((name) => name.tagged))) * 1_000_000n) },
    Descriptor: printable(target),
    ...(options.manifests ? { Manifests: summary.manifests } : {}),
  };
}

export const platformMissing = (ref: string, platform: Platform): Error => notFound(`image with reference ${ref} was found but does not provide the specified platform (${formatPlatform(platform)})`);

function documentFields(document: ImageDocument | undefined): Pick<ImageInspect, "Comment" | "Created" | "Author" | "Config" | "Architecture" | "Variant" | "Os" | "OsVersion" | "RootFS"> {
  if (!document) return { Config: {}, Architecture: "", Os: "", RootFS: {} };
  const { architecture, os, variant, author, created, rootfs } = document;
  return withoutEmpty({
    Comment: document.history.at(-1)?.comment,
    Created: created === undefined ? undefined : normalTime(created),
    Author: author,
    Config: withoutEmpty(document.config),
    Architecture: architecture,
    Variant: variant,
    Os: os,
    OsVersion: document["os.version"],
    RootFS: withoutEmpty({ Type: rootfs.type, Layers: rootfs.diff_ids }),
  }, ["Architecture", "Os", "Config", "RootFS"]);
}

/** As Go prints a time that it has read. */
const normalTime = (text: string): string => text.replace(/\.(\d*?)0*(?=Z|[+-]\d\d:\d\d$)/, (_, digits: string) => (digits === "" ? "" : `.${digits}`)).replace(/\+00:00$/, "Z");

/** Without fields that Go's omitempty leaves out. */
export function withoutEmpty<T extends object>(value: { [K in keyof T]: T[K] | undefined }, kept: readonly string[] = []): T {
  const isEmpty = (field: unknown): boolean => field === undefined || field === "" || field === false || field === null || (typeof field === "object" && Object.keys(field).length === 0);
  return Object.fromEntries(Object.entries(value).filter(([key, field]) => kept.includes(key) || key === "Healthcheck" || !isEmpty(field))) as T;
}

/** Of a time in an image's document; 0 for none, also for one that is no time. */
export function unixSeconds(text: string | undefined): number {
  const milliseconds = Date.parse(text ?? "");
  return Number.isNaN(milliseconds) ? 0 : Math.floor(milliseconds / 1000);
}

/** One row, in the words of the Engine API. */
export interface HistoryRow {
  Comment: string;
  Created: number;
  CreatedBy: string;
  Id: string;
  Size: number;
  Tags: string[] | null;
}

/** Newest first. Only the image itself has an id and tags: layers have none of their own. */
export async function imageHistory(context: ImageContext, text: string, platform: Platform | undefined): Promise<HistoryRow[]> {
  const found = findImage(context.store, text);
  const images = context.documents.imagesOf(found.target);
  const image = bestFor(images, platform ?? context.host) ?? (platform ? undefined : images[0]);
  if (!image) throw platform ? platformMissing(familiarNameOf(found), platform) : notFound(`image with reference ${familiarNameOf(found)} was found but does not provide any platform`);
  const rows: HistoryRow[] = [];
  let layer = 0;
  for (const entry of image.document.history) {
    const name = entry.empty_layer === true ? undefined : image.chain[layer++];
    if (name === undefined && entry.empty_layer !== true) throw systemError("unable to find the size of the layer");
    rows.unshift({
      Comment: entry.comment ?? "",
      Created: unixSeconds(entry.created),
      CreatedBy: entry.created_by ?? "",
      Id: "<missing>",
      Size: name === undefined ? 0 : await context.layers.layerBytes(name),
      Tags: null,
    });
  }
  const [newest] = rows;
  if (newest) {
    const { tags } = tagsAndDigests(context.store.namesOf(found.target.digest));
    newest.Id = found.target.digest;
    newest.Tags = tags.length === 0 ? null : tags;
  }
  return rows;
}
