/** What of an image is pushed: all of it, or the manifest of one platform. */
import { conflict, notFound } from "../../../lib/errors.ts";
import { isIndexType, isNonDistributable, type Descriptor } from "../../../lib/oci-image.ts";
import { formatPlatform, type Platform, platformDistance } from "../../../lib/platform.ts";
import type { ImageContext } from "../context.ts";
import { platformMissing } from "../inspect.ts";

const mostDepth = 4;

/** The blobs that a push sends, in an order in which a registry takes them: what a manifest refers to comes before it. */
export interface PushTree {
  blobs: Descriptor[];
  manifests: Descriptor[];
  /** Not here. */
  missing: Descriptor[];
}

export function treeOf({ content, documents }: ImageContext, target: Descriptor): PushTree {
  const tree: PushTree = { blobs: [], manifests: [], missing: [] };
  const seen = new Set<string>();
  const visit = (descriptor: Descriptor, kind: "manifest" | "blob", depth: number): void => {
    if (seen.has(descriptor.digest)) return;
    seen.add(descriptor.digest);
    /* Whoever pulls it has it from its urls. */
    if (isNonDistributable(descriptor.mediaType)) return;
    if (!content.has(descriptor.digest)) return void tree.missing.push(descriptor);
    if (kind === "blob") return void tree.blobs.push(descriptor);
    if (depth > mostDepth) throw conflict(`the index ${target.digest} is nested too deeply`);
    const document = documents.manifest(descriptor.digest);
    if (document.kind === "index") for (const child of document.manifests) visit(child, "manifest", depth + 1);
    else for (const blob of [...document.layers, document.config]) visit(blob, "blob", depth);
    tree.manifests.push(descriptor);
  };
  visit(target, "manifest", 0);
  return tree;
}

interface Candidate {
  descriptor: Descriptor;
  platform: Platform;
}

/** Throws as Docker does: "not-found" when nothing fits, "conflict" when it is not clear what does. */
export function selectTarget(context: ImageContext, { target, name, platform }: { target: Descriptor; name: string; platform: Platform | undefined }): Descriptor {
  const isIndex = isIndexType(target.mediaType) || (context.content.has(target.digest) && context.documents.manifest(target.digest).kind === "index");
  if (platform === undefined && (!isIndex || treeOf(context, target).missing.length === 0)) return target;
  const candidates = candidatesOf(context, target).filter((candidate) => platform === undefined || platformDistance(platform, candidate.platform) === 0);
  const [first, ...others] = candidates;
  if (!first) throw platform ? platformMissing(name, platform) : notFound(`image with reference ${name} was found but does not provide any platform`);
  if (others.length === 0) return first.descriptor;
  if (platform !== undefined) throw conflict(`multiple manifests found for platform ${formatPlatform(platform)}`);
  const own = candidates.filter((candidate) => platformDistance(context.host, candidate.platform) !== undefined);
  own.sort((a, b) => (platformDistance(context.host, a.platform) ?? 0) - (platformDistance(context.host, b.platform) ?? 0));
  if (own[0]) return own[0].descriptor;
  throw conflict("multiple matching manifests found but no specific platform requested");
}

/** Images of the target that are here completely. */
function candidatesOf(context: ImageContext, target: Descriptor): Candidate[] {
  const { documents } = context;
  return documents
    .manifestsOf(target)
    .filter((descriptor) => documents.isImage(descriptor) && treeOf(context, descriptor).missing.length === 0)
    .map((descriptor) => ({ descriptor, platform: documents.image(descriptor).platform }));
}
