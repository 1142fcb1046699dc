/** What an image's index says about where the image comes from: in-toto statements, as BuildKit attaches them. */
import { notFound, systemError } from "../../lib/errors.ts";
import { type Descriptor, type Index, mediaTypes, mostConfigBytes } from "../../lib/oci-image.ts";
import { type Platform, formatPlatform, platformDistance } from "../../lib/platform.ts";
import { attestationOf, isCompanion } from "./companions.ts";
import type { ImageContext } from "./context.ts";
import { findImage } from "./find.ts";
import { printable } from "./summary.ts";

const predicateType = "in-toto.io/predicate-type";

export interface AttestationRequest {
  /** Undefined: this machine's. */
  platform: Platform | undefined;
  /** All when empty. */
  types: readonly string[];
  withStatement: boolean;
}

export interface Attestation {
  descriptor: object;
  predicateType: string;
  /** JSON. */
  statement?: string;
}

/** Empty for an image without an index, or without attestations. "not-found" for a platform that the index does not have. */
export function imageAttestations(context: ImageContext, text: string, { platform, types, withStatement }: AttestationRequest): Attestation[] {
  const { target } = findImage(context.store, text);
  if (target.mediaType !== mediaTypes.ociIndex) return [];
  const index = context.documents.manifest(target.digest);
  if (index.kind !== "index") return [];
  const manifest = manifestFor(index, platform ?? context.host);
  const attestation = attestationOf(index, manifest.digest);
  if (!attestation) return [];
  const document = context.documents.manifest(attestation.digest);
  if (document.kind !== "manifest") return [];
  return document.layers.flatMap((layer) => {
    const type = layer.annotations?.[predicateType] ?? "";
    if (type === "" || (types.length > 0 && !types.includes(type))) return [];
    return [{ descriptor: printable(layer), predicateType: type, ...(withStatement ? { statement: statementOf(context, layer) } : {}) }];
  });
}

function manifestFor({ manifests }: Index, wanted: Platform): Descriptor {
  const distance = ({ platform }: Descriptor): number | undefined => (platform ? platformDistance(wanted, platform) : 1000);
  const fitting = manifests.filter((descriptor) => !isCompanion(descriptor) && distance(descriptor) !== undefined);
  const [best] = fitting.toSorted((a, b) => (distance(a) ?? 0) - (distance(b) ?? 0));
  if (best) return best;
  throw notFound(`resolving image manifest: no manifest for platform ${formatPlatform(wanted)}: not found`);
}

function statementOf({ content }: ImageContext, { digest }: Descriptor): string {
  if (!content.has(digest)) throw systemError(`attestation statement ${digest} is not available locally`);
  const text = content.read(digest, mostConfigBytes).toString();
  try {
    JSON.parse(text);
    return text;
  } catch (cause) {
    throw systemError(`the attestation statement ${digest} is no JSON`, cause);
  }
}
