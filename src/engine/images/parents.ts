/** Which image was committed from which: an annotation of the newer one's manifest says so. */
import type { Digest } from "../../lib/digest.ts";
import type { Descriptor } from "../../lib/oci-image.ts";
import type { ImageContext } from "./context.ts";
import { parentAnnotation } from "./inspect.ts";

const mostParents = 1000;

/** Those that are here, nearest first. */
export function parentsOf(context: ImageContext, target: Descriptor): Descriptor[] {
  const found: Descriptor[] = [];
  for (let id = parentOf(context, target); id !== undefined && found.length < mostParents; ) {
    const parent = context.store.namesOf(id as Digest)[0]?.target;
    if (!parent || found.some(({ digest }) => digest === parent.digest)) break;
    found.push(parent);
    id = parentOf(context, parent);
  }
  return found;
}

/** Whether an image that is here was committed from this one. */
export function hasChildren(context: ImageContext, id: Digest): boolean {
  for (const { target } of context.store.all()) if (target.digest !== id && parentOf(context, target) === id) return true;
  return false;
}

function parentOf({ documents }: ImageContext, target: Descriptor): string | undefined {
  return documents.readableImagesOf(target).find(({ manifest }) => manifest.annotations?.[parentAnnotation] !== undefined)?.manifest.annotations?.[parentAnnotation];
}
