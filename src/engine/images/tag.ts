/** Names for images: `docker tag`, and the names that load, import and pull give. */
import { invalidParameter } from "../../lib/errors.ts";
import type { Descriptor } from "../../lib/oci-image.ts";
import { type Reference, canonicalName, familiarName, isTag, parseReference, withDefaultTag } from "../../lib/reference.ts";
import type { ImageContext } from "./context.ts";
import { emitImage } from "./events.ts";
import { findImage } from "./find.ts";
import { type ImageName, danglingName, isDangling } from "./store.ts";

/** The `repo` and `tag` parameters as one reference, or undefined without a repository. Throws Docker's refusals. */
export function repositoryAndTag(repository: string, tag: string): Reference | undefined {
  if (repository === "") return undefined;
  const reference = parseReference(repository);
  if (reference.digest !== undefined) throw invalidParameter("cannot import digest reference");
  if (tag === "") return withDefaultTag(reference);
  if (!isTag(tag)) throw invalidParameter("invalid tag format");
  return { ...reference, tag };
}

export function tagImage(context: ImageContext, source: string, reference: Reference): void {
  if (familiarName({ domain: reference.domain, path: reference.path }) === "sha256") throw invalidParameter("refusing to create an ambiguous tag using digest algorithm as name");
  const image = giveName(context, canonicalName(reference), findImage(context.store, source).target);
  emitImage(context, "tag", image, familiarName(reference));
}

/** What had the name before stays as an image without one. */
export function giveName({ store }: ImageContext, name: string, target: Descriptor): ImageName {
  const former = store.get(name);
  if (former?.target.digest === target.digest) return former;
  if (former) keepDangling(store, former);
  const image = store.put(name, target);
  store.delete(danglingName(target.digest));
  return image;
}

export function giveNoName({ store }: ImageContext, target: Descriptor): ImageName {
  return store.namesOf(target.digest).find(isDangling) ?? store.put(danglingName(target.digest), target);
}

/** To be called before an image loses a name: its last one is replaced by the dangling one. */
export function keepDangling(store: ImageContext["store"], image: ImageName): void {
  if (store.namesOf(image.target.digest).length === 1) store.put(danglingName(image.target.digest), image.target);
}
