/** Finds images by what users call them, with Docker's rules and words. */
import { notFound } from "../../lib/errors.ts";
import { type Reference, canonicalName, familiarName, parseAnyReference, parseReference, repositoryOf, truncatedId, withDefaultTag } from "../../lib/reference.ts";
import { type ImageName, type ImageStore, isDangling } from "./store.ts";

/** A name before a short id, an id before nothing. Throws invalid-parameter or not-found. */
export function findImage(store: ImageStore, text: string): ImageName {
  const any = parseAnyReference(text);
  if (any.kind === "id") {
    const [image] = store.namesOf(any.digest);
    if (image) return image;
    throw notFound(`No such image: ${any.digest}`);
  }
  const reference = withDefaultTag(any.reference);
  if (reference.digest !== undefined) {
    const image = store.namesOf(reference.digest).find((name) => sameRepository(name, reference));
    if (image) return image;
    throw missing(reference);
  }
  const image = store.get(canonicalName(reference)) ?? findByShortId(store, text);
  if (image) return image;
  throw missing(reference);
}

function findByShortId(store: ImageStore, text: string): ImageName | undefined {
  const digits = truncatedId(text);
  if (digits === undefined) return undefined;
  const targets = [...store.targets()].filter((digest) => digest.startsWith(`sha256:${digits}`));
  if (targets.length > 1) throw notFound("ambiguous reference");
  return targets[0] === undefined ? undefined : store.namesOf(targets[0])[0];
}

function sameRepository(image: ImageName, reference: Reference): boolean {
  return !isDangling(image) && repositoryOf(parseReference(image.name)) === repositoryOf(reference);
}

export const missing = (reference: Reference): Error => notFound(`No such image: ${familiarName(withDefaultTag(reference))}`);

/** "busybox:latest", or the id of an image without a name. */
export function familiarNameOf(image: ImageName): string {
  return isDangling(image) ? image.target.digest : familiarName(parseReference(image.name));
}
