/** `docker commit`: an image, and what a container of it changed as one more layer. */
import { nowNanoseconds } from "../../lib/clock.ts";
import { chainIds, type Digest } from "../../lib/digest.ts";
import { notFound } from "../../lib/errors.ts";
import { faultPoint } from "../../lib/fault.ts";
import { type Descriptor, type ImageSettings, mediaTypes } from "../../lib/oci-image.ts";
import { type Reference, canonicalName, familiarName } from "../../lib/reference.ts";
import { rfc3339Nano } from "../../lib/rfc3339.ts";
import type { UnpackedBlob } from "../../core/content.ts";
import { collect } from "./collect.ts";
import type { ImageContext } from "./context.ts";
import { receiveLayer } from "./receive-layer.ts";
import type { PlatformImage } from "./documents.ts";
import { emitImage } from "./events.ts";
import { parentAnnotation, withoutEmpty } from "./inspect.ts";
import { temporaryKey } from "./layers.ts";
import type { Lease } from "../../core/leases.ts";
import { giveName, giveNoName } from "./tag.ts";

export interface CommitRequest {
  /** Of the writable layer. */
  containerId: string;
  /** The manifest that the container was made from. */
  base: Descriptor;
  /** Undefined: the image gets no name. */
  reference: Reference | undefined;
  /** The id of the container's image. */
  parent: string;
  settings: ImageSettings;
  /** What the container ran, for the history. */
  createdBy: string;
  author: string;
  comment: string;
}

/** The new image's id. A container that changed nothing adds no layer. */
export async function commitImage(context: ImageContext, request: CommitRequest): Promise<Digest> {
  const { id, unchanged } = await commitLeased(context, request);
  /* The archive of no changes is a blob that nothing refers to. */
  if (unchanged) await collect(context);
  return id;
}

async function commitLeased(context: ImageContext, request: CommitRequest): Promise<{ id: Digest; unchanged: boolean }> {
  using lease = context.leases.begin();
  const base = baseOf(context, request.base, lease);
  const layer = await changesAsLayer(context, { base, containerId: request.containerId, lease });
  const target = writeDocuments(context, { request, base, layer, lease });
  await context.content.sync();
  faultPoint("image-commit-synced");
  const { reference } = request;
  const image = reference ? giveName(context, canonicalName(reference), target) : giveNoName(context, target);
  emitImage(context, "create", image, target.digest);
  if (reference) emitImage(context, "tag", image, familiarName(reference));
  return { id: target.digest, unchanged: layer === undefined };
}

/** What the new image shares with its base stays, also when the base is removed meanwhile. */
function baseOf({ content, documents }: ImageContext, descriptor: Descriptor, lease: Lease): PlatformImage {
  if (!content.has(descriptor.digest)) throw notFound(`the container's image ${descriptor.digest} is not there any more`);
  const base = documents.image(descriptor);
  for (const { digest } of base.manifest.layers) lease.blob(digest);
  for (const name of base.chain) lease.snapshot(name);
  return base;
}

interface LayerSource {
  base: PlatformImage;
  containerId: string;
  lease: Lease;
}

/** Undefined when nothing was changed. */
async function changesAsLayer(context: ImageContext, { base, containerId, lease }: LayerSource): Promise<UnpackedBlob | undefined> {
  const { snapshotter } = context;
  const key = temporaryKey();
  lease.snapshot(key);
  await snapshotter.prepare(key, base.chain.at(-1));
  try {
    const layer = await receiveLayer(context, { key, lease, archive: snapshotter.layer(containerId) });
    if (layer.entries === 0) {
      await snapshotter.remove(key);
      return undefined;
    }
    const name = chainIds([...base.document.rootfs.diff_ids, layer.diffId]).at(-1) as Digest;
    lease.snapshot(name);
    faultPoint("image-commit-received");
    await snapshotter.commit(key, name, { inheritRoot: true });
    return layer;
  } catch (error) {
    await snapshotter.remove(key);
    throw error;
  }
}

interface Parts {
  request: CommitRequest;
  base: PlatformImage;
  layer: UnpackedBlob | undefined;
  lease: Lease;
}

function writeDocuments({ content }: ImageContext, { request, base, layer, lease }: Parts): Descriptor {
  const write = (mediaType: string, json: object): Descriptor => {
    const text = Buffer.from(JSON.stringify(json));
    const digest = content.write(text);
    lease.blob(digest);
    return { mediaType, digest, size: text.length };
  };
  const { author, comment, createdBy, settings } = request;
  const { rootfs, history, "os.version": version } = base.document;
  const created = rfc3339Nano(nowNanoseconds());
  const entry = withoutEmpty({ created, created_by: createdBy, author, comment, empty_layer: layer === undefined });
  const config = write(mediaTypes.ociConfig, {
    created,
    ...(author === "" ? {} : { author }),
    ...base.platform,
    ...(version === undefined ? {} : { "os.version": version }),
    rootfs: { type: "layers", diff_ids: [...rootfs.diff_ids, ...(layer ? [layer.diffId] : [])] },
    history: [...history, entry],
    config: withoutEmpty(settings),
  });
  const own = layer && { mediaType: mediaTypes.ociLayer, digest: layer.digest, size: layer.size };
  return write(mediaTypes.ociManifest, { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [...base.manifest.layers, ...(own ? [own] : [])], annotations: { [parentAnnotation]: request.parent } });
}
