/** Sizes and platforms of an image, as list and inspect show them. */
import type { ImageUser } from "../../core/image.ts";
import type { Digest } from "../../lib/digest.ts";
import type { Descriptor } from "../../lib/oci-image.ts";
import { type Platform, platformDistance } from "../../lib/platform.ts";
import { parseReference, familiarName } from "../../lib/reference.ts";
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
  blobs: Map<Digest, number>;
  chains: Set<Digest>;
}

/** `any`: when nothing serves the platform, another image is taken. */
export async function summarize(context: ImageContext, target: Descriptor, options: { platform: Platform; any: boolean }): Promise<ImageSummary> {
  const summary: ImageSummary = { manifests: [], totalBytes: 0, containers: 0, best: undefined, blobs: new Map(), chains: new Set() };
  const users = context.containersUsing(target.digest);
  if (target.mediaType !== "" && context.content.has(target.digest) && context.documents.manifest(target.digest).kind === "index") addBlob(summary, target);
  let least = Infinity;
  let best: ManifestSummary | undefined;
  for (const descriptor of context.documents.reachableManifests(target)) {
    const one = await summarizeManifest(context, descriptor, summary);
    summary.manifests.push(one.manifest);
    if (!one.image) continue;
    addContainers(one.manifest, users.filter((user) => user.manifest === descriptor.digest));
    const distance = platformDistance(options.platform, one.image.platform) ?? (options.any ? 1000 : undefined);
    if (distance === undefined || distance >= least) continue;
    least = distance;
    summary.best = { image: one.image, bytes: one.manifest.Size.Total };
    best = one.manifest;
  }
  if (best) addContainers(best, users.filter((user) => user.manifest === undefined));
  summary.containers = summary.manifests.reduce((sum, manifest) => sum + (manifest.ImageData?.Containers?.length ?? 0), 0);
  return summary;
}

function addContainers(manifest: ManifestSummary, users: readonly ImageUser[]): void {
  if (!manifest.ImageData || users.length === 0) return;
  manifest.ImageData.Containers = [...(manifest.ImageData.Containers ?? []), ...users.map((user) => user.containerId)];
}

async function summarizeManifest(context: ImageContext, descriptor: Descriptor, summary: ImageSummary): Promise<{ manifest: ManifestSummary; image: PlatformImage | undefined }> {
  const { documents, content } = context;
  const manifest: ManifestSummary = { ID: descriptor.digest, Descriptor: printable(descriptor), Available: false, Size: { Content: 0, Total: 0 }, Kind: "unknown" };
  if (!content.has(descriptor.digest)) return { manifest: { ...manifest, ...platformData(descriptor.platform) }, image: undefined };
  const document = documents.manifest(descriptor.digest);
  if (document.kind !== "manifest") return { manifest, image: undefined };
  const parts = [descriptor, document.config, ...document.layers].filter((part) => content.has(part.digest));
  for (const part of parts) {
    manifest.Size.Content += part.size;
    addBlob(summary, part);
  }
  manifest.Size.Total = manifest.Size.Content;
  manifest.Available = parts.length === document.layers.length + 2;
  const subject = descriptor.annotations?.["vnd.docker.reference.digest"];
  if (descriptor.annotations?.["vnd.docker.reference.type"] === "attestation-manifest" && subject !== undefined) return { manifest: { ...manifest, Kind: "attestation", AttestationData: { For: subject } }, image: undefined };
  const image = documents.isImage(descriptor) ? documents.image(descriptor) : undefined;
  if (!image) return { manifest, image };
  const unpacked = await context.layers.unpackedBytes(image, summary.chains);
  manifest.Size.Total += unpacked;
  summary.totalBytes += unpacked;
  return { manifest: { ...manifest, Kind: "image", ImageData: { Platform: descriptor.platform ?? image.platform, Size: { Unpacked: unpacked }, Containers: null } }, image };
}

function platformData(platform: Platform | undefined): Partial<ManifestSummary> {
  return platform === undefined ? {} : { Kind: "image", ImageData: { Platform: platform, Size: { Unpacked: 0 }, Containers: null } };
}

function addBlob(summary: ImageSummary, blob: Descriptor): void {
  if (!summary.blobs.has(blob.digest)) summary.totalBytes += blob.size;
  summary.blobs.set(blob.digest, blob.size);
}

/** A descriptor as JSON has it. */
export function printable(descriptor: Descriptor): object {
  const { mediaType, digest, size, annotations, artifactType, platform } = descriptor;
  return {
    mediaType,
    digest,
    size,
    ...(annotations === undefined || Object.keys(annotations).length === 0 ? {} : { annotations: { ...annotations } }),
    ...(platform === undefined ? {} : { platform }),
    ...(artifactType === undefined || artifactType === "" ? {} : { artifactType }),
  };
}

/** Familiar names with tags, and names with digests, of one image, in the order of the canonical names. */
export function tagsAndDigests(names: readonly ImageName[]): { tags: string[]; digests: string[] } {
  const sorted = names.filter((name) => !isDangling(name)).sort((a, b) => (a.name < b.name ? -1 : 1));
  const references = sorted.map((name) => ({ reference: parseReference(name.name), target: name.target }));
  const digests = references.map(({ reference, target }) => familiarName({ domain: reference.domain, path: reference.path, digest: reference.digest ?? target.digest }));
  return { tags: references.map(({ reference }) => familiarName(reference)), digests: [...new Set(digests)] };
}
