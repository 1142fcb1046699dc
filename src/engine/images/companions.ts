/** Manifests of an index that are no images but say something about one. */
import type { Digest } from "../../lib/digest.ts";
import type { Descriptor, Index } from "../../lib/oci-image.ts";

/** It refers to another manifest of its index, and is no image. */
export const isCompanion = ({ annotations }: Descriptor): boolean => annotations?.["vnd.docker.reference.type"] !== undefined;

/** The manifest that an attestation speaks of. */
export function subjectOf({ annotations }: Descriptor): string | undefined {
  return annotations?.["vnd.docker.reference.type"] === "attestation-manifest" ? annotations["vnd.docker.reference.digest"] : undefined;
}

/** The last one counts. */
export const attestationOf = ({ manifests }: Index, image: Digest): Descriptor | undefined => manifests.findLast((descriptor) => subjectOf(descriptor) === image);
