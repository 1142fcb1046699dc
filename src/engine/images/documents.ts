/** Reads what images consist of from the content store, once, and remembers it: blobs never change. */
import type { ContentStore } from "../../core/content.ts";
import { type Digest, chainIds } from "../../lib/digest.ts";
import { invalidParameter } from "../../lib/errors.ts";
import { isIndexType, mostConfigBytes, mostManifestBytes, readImageDocument, readManifest } from "../../lib/oci-image.ts";
import type { Descriptor, ImageDocument, Index, Manifest } from "../../lib/oci-image.ts";
import { type Platform, platformDistance } from "../../lib/platform.ts";
import { isCompanion } from "./companions.ts";

/** One platform's image inside a target. */
export interface PlatformImage {
  descriptor: Descriptor;
  manifest: Manifest;
  document: ImageDocument;
  platform: Platform;
  /** ChainIDs of its layers, bottom first. */
  chain: Digest[];
}

const mostIndexDepth = 4;
const mostManifests = 1000;

export class Documents {
  readonly #content: ContentStore;
  readonly #manifests = new Map<Digest, Index | Manifest>();
  readonly #images = new Map<Digest, PlatformImage>();

  constructor(content: ContentStore) {
    this.#content = content;
  }

  /** Throws not-found when the blob is missing, invalid-parameter when it is malformed. */
  manifest(digest: Digest): Index | Manifest {
    let manifest = this.#manifests.get(digest);
    if (!manifest) {
      manifest = readManifest(this.#content.read(digest, mostManifestBytes));
      this.#manifests.set(digest, manifest);
    }
    return manifest;
  }

  forget(digest: Digest): void {
    this.#manifests.delete(digest);
    this.#images.delete(digest);
  }

  /** Manifests below a target whose blobs are here; without attestations and other companions. */
  manifestsOf(target: Descriptor): Descriptor[] {
    const found: Descriptor[] = [];
    this.#walk(target, 0, found);
    return found;
  }

  /** All manifests below a target, with companions, also those whose blobs are missing. */
  reachableManifests(target: Descriptor, depth = 0): Descriptor[] {
    const document = this.#content.has(target.digest) ? this.manifest(target.digest) : undefined;
    if (document?.kind !== "index") return [target];
    if (depth >= mostIndexDepth) throw invalidParameter("indexes are nested too deeply");
    return document.manifests.slice(0, mostManifests).flatMap((child) => this.reachableManifests(child, depth + 1));
  }

  #walk(descriptor: Descriptor, depth: number, found: Descriptor[]): void {
    if (!this.#content.has(descriptor.digest)) return;
    const document = this.manifest(descriptor.digest);
    if (document.kind === "manifest") {
      if (found.length >= mostManifests) throw invalidParameter(`index has more than ${mostManifests} manifests`);
      if (!isCompanion(descriptor)) found.push(descriptor);
      return;
    }
    if (depth >= mostIndexDepth) throw invalidParameter("indexes are nested too deeply");
    for (const child of document.manifests) this.#walk(child, depth + 1, found);
  }

  /** Throws as manifest() does. */
  image(descriptor: Descriptor): PlatformImage {
    const known = this.#images.get(descriptor.digest);
    if (known) return known;
    const manifest = this.manifest(descriptor.digest);
    if (manifest.kind !== "manifest") throw invalidParameter(`${descriptor.digest} is an index, not a manifest`);
    const document = readImageDocument(this.#content.read(manifest.config.digest, mostConfigBytes));
    const { diff_ids: diffIds } = document.rootfs;
    if (diffIds.length !== manifest.layers.length) throw invalidParameter(`invalid image: the manifest has ${manifest.layers.length} layers, its configuration ${diffIds.length}`);
    const { os, architecture, variant } = document;
    const platform: Platform = { os, architecture, ...(variant === undefined ? {} : { variant }) };
    const image: PlatformImage = { descriptor, manifest, document, platform, chain: chainIds(diffIds) };
    this.#images.set(descriptor.digest, image);
    return image;
  }

  /** All platforms of a target that can be read. */
  imagesOf(target: Descriptor): PlatformImage[] {
    return this.manifestsOf(target)
      .filter((descriptor) => this.isImage(descriptor))
      .map((descriptor) => this.image(descriptor));
  }

  /** The same, but none of a target that has a document which is damaged or contradicts itself: for what looks at all images. */
  readableImagesOf(target: Descriptor): PlatformImage[] {
    try {
      return this.imagesOf(target);
    } catch {
      return [];
    }
  }

  /** Its configuration is here and describes an image. */
  isImage(descriptor: Descriptor): boolean {
    const manifest = this.manifest(descriptor.digest);
    if (manifest.kind !== "manifest") return false;
    return !isIndexType(descriptor.mediaType) && this.#content.has(manifest.config.digest);
  }

  /** Layers and configuration are here. */
  isComplete(image: PlatformImage): boolean {
    return this.#content.has(image.manifest.config.digest) && image.manifest.layers.every((layer) => this.#content.has(layer.digest));
  }
}

/** The one that serves the platform best. */
export function bestFor(images: readonly PlatformImage[], platform: Platform): PlatformImage | undefined {
  let best: PlatformImage | undefined;
  let least = Infinity;
  for (const image of images) {
    const distance = platformDistance(platform, image.platform);
    if (distance === undefined || distance >= least) continue;
    best = image;
    least = distance;
  }
  return best;
}
