/** Images as lists and messages name them. */
import { familiarName, parseAnyReference, parseReference } from "../../lib/reference.ts";
import type { Reference } from "../../lib/reference.ts";

/** As lists show an image's name: without its digest; anything that is no name stays as it is. */
export function familiarImage(name: string): string {
  try {
    const { digest: _digest, ...reference } = parseReference(name);
    return familiarName(reference);
  } catch {
    return name;
  }
}

/** Undefined for an id. Throws an Error with Docker's words. */
export function parseImageName(name: string): Reference | undefined {
  const parsed = parseAnyReference(name);
  return parsed.kind === "name" ? parsed.reference : undefined;
}

