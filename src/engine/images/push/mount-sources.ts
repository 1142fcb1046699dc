/** Repositories of the same registry that may have a blob already, because an image of theirs is here that has it. */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Digest } from "../../../lib/digest.ts";
import { parseReference, type Reference } from "../../../lib/reference.ts";
import type { ImageContext } from "../context.ts";
import { isDangling } from "../store.ts";

/** A registry asks its own questions for each, so the likely ones must do. */
const mostSources = 3;
const mostImages = 50;

export async function mountSources(context: ImageContext, target: Reference, wanted: ReadonlySet<Digest>): Promise<Map<Digest, string[]>> {
  const sources = new Map<Digest, string[]>();
  const images = [...context.store.all()].filter((image) => !isDangling(image) && image.name.startsWith(`${target.domain}/`));
  for (const image of images.sort((a, b) => b.tagged - a.tagged).slice(0, mostImages)) {
    const { domain, path } = parseReference(image.name);
    if (domain !== target.domain || path === target.path) continue;
    for (const { manifest } of context.documents.readableImagesOf(image.target)) {
      for (const { digest } of manifest.layers) {
        const known = sources.get(digest) ?? [];
        if (wanted.has(digest) && known.length < mostSources && !known.includes(path)) sources.set(digest, [...known, path]);
      }
    }
    await nextTurn();
  }
  return sources;
}
