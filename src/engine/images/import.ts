/** `docker import`: one archive of a root file system becomes an image of one layer. */
import { applyChanges } from "../../build/dockerfile/changes.ts";
import { nowNanoseconds } from "../../lib/clock.ts";
import type { Digest } from "../../lib/digest.ts";
import { faultPoint } from "../../lib/fault.ts";
import { type Descriptor, mediaTypes } from "../../lib/oci-image.ts";
import type { Platform } from "../../lib/platform.ts";
import { type Reference, canonicalName, familiarName } from "../../lib/reference.ts";
import { rfc3339Nano } from "../../lib/rfc3339.ts";
import type { UnpackedBlob } from "../../core/content.ts";
import type { ImageContext } from "./context.ts";
import { receiveLayer } from "./receive-layer.ts";
import { emitImage } from "./events.ts";
import { withoutEmpty } from "./inspect.ts";
import { temporaryKey } from "./layers.ts";
import type { Lease } from "../../core/leases.ts";
import { giveName, giveNoName } from "./tag.ts";

export interface ImportRequest {
  /** Undefined: the image gets no name. */
  reference: Reference | undefined;
  platform: Platform | undefined;
  message: string;
  /** Instructions as in a Dockerfile. */
  changes: readonly string[];
}

/** The new image's id. The archive may be compressed: with gzip or zstd it is kept as it came, else without its compression. */
export async function importImage(context: ImageContext, bytes: AsyncIterable<Uint8Array>, request: ImportRequest): Promise<Digest> {
  const settings = applyChanges({}, request.changes);
  using lease = context.leases.begin();
  const layer = await importLayer(context, bytes, lease);
  const created = rfc3339Nano(nowNanoseconds());
  const write = (mediaType: string, json: object): Descriptor => {
    const text = Buffer.from(JSON.stringify(json));
    const digest = context.content.write(text);
    lease.blob(digest);
    return { mediaType, digest, size: text.length };
  };
  const platform = request.platform ?? context.host;
  const config = write(mediaTypes.ociConfig, {
    created,
    ...platform,
    rootfs: { type: "layers", diff_ids: [layer.diffId] },
    history: [{ created, comment: request.message }],
    config: withoutEmpty(settings),
  });
  const target = write(mediaTypes.ociManifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config,
    layers: [{ mediaType: `${mediaTypes.ociLayer}${layer.compression === "plain" ? "" : `+${layer.compression}`}`, digest: layer.digest, size: layer.size }],
  });
  await context.content.sync();
  faultPoint("image-import-synced");
  const image = request.reference ? giveName(context, canonicalName(request.reference), target) : giveNoName(context, target);
  if (request.reference) emitImage(context, "tag", image, familiarName(request.reference));
  emitImage(context, "import", image, image.target.digest);
  return target.digest;
}

async function importLayer(context: ImageContext, bytes: AsyncIterable<Uint8Array>, lease: Lease): Promise<UnpackedBlob> {
  const { snapshotter } = context;
  const key = temporaryKey();
  lease.snapshot(key);
  await snapshotter.prepare(key);
  try {
    const layer = await receiveLayer(context, { key, lease, archive: bytes });
    lease.snapshot(layer.diffId);
    faultPoint("image-import-received");
    await snapshotter.commit(key, layer.diffId, { inheritRoot: false });
    return layer;
  } catch (error) {
    await snapshotter.remove(key);
    throw error;
  }
}
