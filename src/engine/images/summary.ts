/** Sizes and platforms of an image, as list and inspect show them. */
import type { ImageUser } from "../../core/image.ts";
import type { Digest } from "../../lib/digest.ts";
import type { Descriptor, Manifest } from "../../lib/oci-image.ts";
import { type Platform, platformDistance } from "../../lib/platform.ts";
import { parseReference, familiarName } from "../../lib/reference.ts";
import { isCompanion, subjectOf } from "./companions.ts";
import type { ImageContext } from "./context.ts";
import type { PlatformImage } from "./documents.ts";
import { type ImageName, isDangling } from "./store.ts";

/** One manifest of an image, in the words of the Engine API. */
export interface ManifestSummary {
  ID: Digest;
  Descriptor: object;
  Available: boolean;
  Size: { Content: number; Total: number };
  Kind: "image" | "attestation" | "unknown";
  ImageData?: { Platform: object; Size: { Unpacked: number }; Containers: string[] | null };
  AttestationData?: { For: string };
}

export interface ImageSummary {
  manifests: ManifestSummary[];
  /** Of all platforms: blobs that are here, and unpacked layers. */
  totalBytes: number;
  containers: number;
  /** The image that serves the wanted platform best, and its size. */
  best: { image: PlatformImage; bytes: number } | undefined;
  blobs: ReadonlyMap<Digest, number>;
  /** Unpacked layers' bytes by chainID. */
  chains: ReadonlyMap<Digest, number>;
}

/** What does not depend on containers and on the wanted platform. Shared: not to be changed. */
interface Content {
  entries: { manifest: ManifestSummary; image: PlatformImage | undefined }[];
  totalBytes: number;
  blobs: Map<Digest, number>;
  chains: Map<Digest, number>;
}

/** Contents by target, as long as no blob and no layer came or went. */
export class SummaryCache {
  readonly #contents = new Map<Digest, Promise<Content>>();
  #generation = "";

  of(context: ImageContext, target: Descriptor): Promise<Content> {
    const generation = `${context.content.generation} ${context.snapshotter.generation}`;
    if (generation !== this.#generation) this.#contents.clear();
    this.#generation = generation;
    let content = this.#contents.get(target.digest);
    if (!content) {
      content = readContent(context, target);
      this.#contents.set(target.digest, content);
      content.catch(() => this.#contents.delete(target.digest));
    }
    return content;
  }
}

async function readContent(context: ImageContext, target: Descriptor): Promise<Content> {
  const content: Content = { entries: [], totalBytes: 0, blobs: new Map(), chains: new Map() };
  for (const descriptor of manifestsOf(context, target, content)) content.entries.push(await summarizeManifest(context, descriptor, content).catch(() => unreadable(descriptor)));
  return content;
}

function manifestsOf({ content, documents }: ImageContext, target: Descriptor, whole: Content): Descriptor[] {
  try {
    if (target.mediaType !== "" && content.has(target.digest) && documents.manifest(target.digest).kind === "index") addBlob(whole, target);
    return documents.reachableManifests(target);
  } catch {
    return [target];
  }
}

const unknown = (descriptor: Descriptor): ManifestSummary => ({ ID: descriptor.digest, Descriptor: printable(descriptor), Available: false, Size: { Content: 0, Total: 0 }, Kind: "unknown" });

/** Of what is damaged or contradicts itself, what can be said without reading it: one such image must not hide all others. */
const unreadable = (descriptor: Descriptor): Content["entries"][number] => ({ manifest: unknown(descriptor), image: undefined });

/** `any`: when nothing serves the platform, another image is taken. */
export async function summarize(context: ImageContext, target: Descriptor, options: { platform: Platform; any: boolean }): Promise<ImageSummary> {
  const { entries, totalBytes, blobs, chains } = await context.summaries.of(context, target);
  const users = context.containersUsing(target.digest);
  let least = Infinity;
  let bestAt = -1;
  for (const [at, { image }] of entries.entries()) {
    const distance = image && (platformDistance(options.platform, image.platform) ?? (options.any ? 1000 : undefined));
    if (distance === undefined || distance >= least) continue;
    least = distance;
    bestAt = at;
  }
  const manifests = entries.map(({ manifest, image }, at) => withContainers(manifest, image ? users.filter((user) => user.manifest === manifest.ID || (user.manifest === undefined && at === bestAt)) : []));
  const best = entries[bestAt];
  return {
    manifests,
    totalBytes,
    containers: manifests.reduce((sum, manifest) => sum + (manifest.ImageData?.Containers?.length ?? 0), 0),
    best: best?.image && { image: best.image, bytes: best.manifest.Size.Total },
    blobs,
    chains,
  };
}

function withContainers(manifest: ManifestSummary, users: readonly ImageUser[]): ManifestSummary {
  if (!manifest.ImageData || users.length === 0) return manifest;
  return { ...manifest, ImageData: { ...manifest.ImageData, Containers: users.map((user) => user.containerId) } };
}

async function summarizeManifest(context: ImageContext, descriptor: Descriptor, whole: Content): Promise<Content["entries"][number]> {
  const { documents, content } = context;
  const manifest = unknown(descriptor);
  if (isCompanion(descriptor)) return { manifest: companion(context, manifest, { descriptor, whole }), image: undefined };
  if (!content.has(descriptor.digest)) return { manifest: { ...manifest, ...platformData(descriptor.platform) }, image: undefined };
  const document = documents.manifest(descriptor.digest);
  if (document.kind !== "manifest") return { manifest, image: undefined };
  addContent(context, manifest, { descriptor, document, whole });
  const image = documents.isImage(descriptor) ? documents.image(descriptor) : undefined;
  if (!image) return { manifest, image };
  const unpacked = await addLayers(context, image, whole);
  manifest.Size.Total += unpacked;
  return { manifest: { ...manifest, Kind: "image", ImageData: { Platform: descriptor.platform ?? image.platform, Size: { Unpacked: unpacked }, Containers: null } }, image };
}

/** What is said of an image is told, here or not. */
function companion(context: ImageContext, manifest: ManifestSummary, { descriptor, whole }: { descriptor: Descriptor; whole: Content }): ManifestSummary {
  const document = context.content.has(descriptor.digest) ? context.documents.manifest(descriptor.digest) : undefined;
  if (document?.kind === "manifest") addContent(context, manifest, { descriptor, document, whole });
  const subject = subjectOf(descriptor);
  return subject === undefined ? manifest : { ...manifest, Kind: "attestation", AttestationData: { For: subject } };
}

function addContent({ content }: ImageContext, manifest: ManifestSummary, { descriptor, document, whole }: { descriptor: Descriptor; document: Manifest; whole: Content }): void {
  const parts = [descriptor, document.config, ...document.layers].filter((part) => content.has(part.digest));
  for (const part of parts) {
    manifest.Size.Content += part.size;
    addBlob(whole, part);
  }
  manifest.Size.Total = manifest.Size.Content;
  manifest.Available = parts.length === document.layers.length + 2;
}

function platformData(platform: Platform | undefined): Partial<ManifestSummary> {
  return platform === undefined ? {} : { Kind: "image", ImageData: { Platform: platform, Size: { Unpacked: 0 }, Containers: null } };
}

function addBlob(whole: Content, blob: Descriptor): void {
  if (!whole.blobs.has(blob.digest)) whole.totalBytes += blob.size;
  whole.blobs.set(blob.digest, blob.size);
}

/** The bytes of those that were not counted yet. */
async function addLayers({ layers }: ImageContext, image: PlatformImage, whole: Content): Promise<number> {
  let added = 0;
  for (const name of image.chain) {
    if (whole.chains.has(name)) continue;
    const bytes = await layers.layerBytes(name);
    whole.chains.set(name, bytes);
    added += bytes;
  }
  whole.totalBytes += added;
  return added;
}

/** A descriptor as JSON has it. */
export function printable(descriptor: Descriptor): object {
  const { mediaType, digest, size, annotations, artifactType, platform, urls } = descriptor;
  return {
    mediaType,
    digest,
    size,
    ...(urls === undefined || urls.length === 0 ? {} : { urls }),
    ...(annotations === undefined || Object.keys(annotations).length === 0 ? {} : { annotations: { ...annotations } }),
    ...(platform === undefined ? {} : { platform }),
    ...(artifactType === undefined || artifactType === "" ? {} : { artifactType }),
  };
}

const parsed = new WeakMap<ImageName, { tag: string; digest: string }>();

/** Of a name with a reference, as users see it. */
function familiarForms(name: ImageName): { tag: string; digest: string } {
  let forms = parsed.get(name);
  if (!forms) {
    const reference = parseReference(name.name);
    forms = { tag: familiarName(reference), digest: familiarName({ domain: reference.domain, path: reference.path, digest: reference.digest ?? name.target.digest }) };
    parsed.set(name, forms);
  }
  return forms;
}

/** Familiar names with tags, and names with digests, of one image, in the order of the canonical names. */
export function tagsAndDigests(names: readonly ImageName[]): { tags: string[]; digests: string[] } {
  const sorted = names.filter((name) => !isDangling(name)).sort((a, b) => (a.name < b.name ? -1 : 1));
  const forms = sorted.map(familiarForms);
  return { tags: forms.map(({ tag }) => tag), digests: [...new Set(forms.map(({ digest }) => digest))] };
}
