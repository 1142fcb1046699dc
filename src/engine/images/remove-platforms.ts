/** `docker rmi --platform`: of an image's platforms some, while its names stay. */
import type { Digest } from "../../lib/digest.ts";
import { invalidParameter, notFound } from "../../lib/errors.ts";
import { formatPlatform, type Platform, platformDistance } from "../../lib/platform.ts";
import type { ImageContext } from "./context.ts";
import { familiarNameOf, findImage } from "./find.ts";
import { platformMissing } from "./inspect.ts";

/**
 * Removes the manifests of these platforms, and answers their digests; what they have alone goes with the next collection. Every image that
 * refers to the same manifest loses it, hence "invalid-parameter" without `force`. "not-found" for a platform that is not here.
 * An image without an index is left: it has nothing else.
 */
export function removePlatforms(context: ImageContext, text: string, { platforms, force }: { platforms: readonly Platform[]; force: boolean }): Digest[] {
  if (!force) throw invalidParameter("Content will be removed from all images referencing this variant. Use —-force to force delete.");
  const image = findImage(context.store, text);
  const id = image.target.digest;
  return platforms.map((platform) => {
    const found = context.documents.imagesOf(image.target).find((one) => platformDistance(platform, one.platform) === 0);
    if (!found) throw notFound(`failed to delete platform ${formatPlatform(platform)} for image ${id}: ${platformMissing(familiarNameOf(image), platform).message}`);
    const { digest } = found.descriptor;
    if (digest === id) return digest;
    context.content.delete(digest);
    context.documents.forget(digest);
    return digest;
  });
}
