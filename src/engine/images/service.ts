/**
 * Images: names, what they point to, their blobs and unpacked layers.
 *
 *   const images = createImageService({ database, content, snapshotter, events, host: hostPlatform(process.arch), containersUsing });
 *   const image = images.resolve("busybox");            // ImageForRun, from memory; throws "No such image: busybox:latest"
 *   await images.ensureUnpacked(image);                 // nothing to do unless it was never unpacked with this driver
 *   await snapshotter.prepare(containerId, image.chainId);
 *   snapshotter.mounts(containerId);                    // TaskRequest.rootfs
 *
 * where `database` was opened with imageMigrations among its migrations, `content` comes from drivers/content-local
 * (<root>/content) and `snapshotter` from drivers/storage-overlay2 (<root>/layers/overlay2), both chosen in src/cmd.
 */
import type { DatabaseSync } from "node:sqlite";
import type { ContentStore } from "../../core/content.ts";
import type { EventSink } from "../../core/events.ts";
import type { ImageForRun, ImageUser } from "../../core/image.ts";
import type { Snapshotter } from "../../core/snapshotter.ts";
import type { Digest } from "../../lib/digest.ts";
import { notFound } from "../../lib/errors.ts";
import { type Platform, formatPlatform } from "../../lib/platform.ts";
import { Documents, type PlatformImage, bestFor } from "./documents.ts";
import { Layers } from "./layers.ts";
import { Leases } from "./leases.ts";
import { findImage, familiarNameOf } from "./find.ts";
import { loadArchive, type LoadOptions } from "./load-images.ts";
import { ImageStore } from "./store.ts";

export { imageMigrations } from "./store.ts";

export interface ImageServiceOptions {
  database: DatabaseSync;
  content: ContentStore;
  snapshotter: Snapshotter;
  events: EventSink;
  /** Of the machine that containers run on. */
  host: Platform;
  /** Containers made from the image with this id. */
  containersUsing: (imageId: Digest) => ImageUser[];
}

/** What each use case needs. */
export interface ImageContext extends ImageServiceOptions {
  store: ImageStore;
  documents: Documents;
  layers: Layers;
  leases: Leases;
}

export type ImageService = ReturnType<typeof createImageService>;

export function createImageService(options: ImageServiceOptions) {
  const leases = new Leases();
  const context: ImageContext = {
    ...options,
    store: new ImageStore(options.database),
    documents: new Documents(options.content),
    layers: new Layers(options.content, options.snapshotter, leases),
    leases,
  };
  return {
    /** The image that a name or id means, for the wanted platform or else this machine's (then any other that is here).
     *  "invalid-parameter" for malformed names, "not-found" with Docker's words. */
    resolve: (ref: string, platform?: Platform): ImageForRun => resolveForRun(context, ref, platform),
    /** Unpacks what this storage driver does not have yet. */
    ensureUnpacked: (image: ImageForRun): Promise<void> => ensureUnpacked(context, image),
    /** Reads an archive of images from its bytes (a request's body, a file's stream). */
    load: (bytes: AsyncIterable<Uint8Array>, loadOptions: LoadOptions) => loadArchive(context, bytes, loadOptions),
  };
}

function resolveForRun(context: ImageContext, ref: string, platform: Platform | undefined): ImageForRun {
  const found = findImage(context.store, ref);
  const images = context.documents.imagesOf(found.target);
  const best = bestFor(images, platform ?? context.host) ?? (platform === undefined ? images[0] : undefined);
  if (!best) {
    const wanted = platform === undefined ? "any platform" : `the specified platform (${formatPlatform(platform)})`;
    throw notFound(`image with reference ${familiarNameOf(found)} was found but does not provide ${wanted}`);
  }
  return { id: found.target.digest, ref: familiarNameOf(found), platform: best.platform, config: best.document.config, chainId: best.chain.at(-1), size: blobBytes(best), manifest: best.descriptor };
}

function blobBytes(image: PlatformImage): number {
  return image.manifest.layers.reduce((sum, layer) => sum + layer.size, image.manifest.config.size);
}

async function ensureUnpacked(context: ImageContext, image: ImageForRun): Promise<void> {
  const found = context.documents.image(image.manifest);
  if (!context.layers.isUnpacked(found)) await context.layers.unpack(found);
}
