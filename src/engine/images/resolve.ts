/** From a name or id to what a container needs of an image, without waiting. */
import type { ImageForRun } from "../../core/image.ts";
import { notFound } from "../../lib/errors.ts";
import { type Platform, platformDistance } from "../../lib/platform.ts";
import type { ImageContext } from "./context.ts";
import { type PlatformImage, bestFor } from "./documents.ts";
import { familiarNameOf, findImage } from "./find.ts";
import { platformMissing } from "./inspect.ts";

export function resolveForRun(context: ImageContext, ref: string, platform: Platform | undefined): ImageForRun {
  const found = findImage(context.store, ref);
  const images = context.documents.imagesOf(found.target);
  // What was asked for by name is not replaced by what the machine runs, too.
  const image = platform ? images.find((one) => platformDistance(platform, one.platform) === 0) : (bestFor(images, context.host) ?? images[0]);
  const name = familiarNameOf(found);
  if (!image) throw platform ? platformMissing(name, platform) : notFound(`image with reference ${name} was found but does not provide any platform`);
  const { annotations: _, ...manifest } = image.descriptor;
  return {
    id: found.target.digest,
    ref: name,
    platform: image.platform,
    config: image.document.config,
    chainId: image.chain.at(-1),
    size: blobBytes(image),
    manifest: { ...manifest, platform: manifest.platform ?? image.platform },
  };
}

const blobBytes = ({ manifest, descriptor }: PlatformImage): number => manifest.layers.reduce((sum, layer) => sum + layer.size, descriptor.size + manifest.config.size);
