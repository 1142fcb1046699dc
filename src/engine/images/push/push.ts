/**
 * `docker push`: layers and configurations, several at once, then the manifests that refer to them, the named one last. Blobs are sent exactly
 * as they are kept, so that digests stay what they were. An index of which not all images are here is replaced by the one that is.
 */
import type { RegistryAccess, Repository } from "../../../core/registry.ts";
import type { Digest } from "../../../lib/digest.ts";
import { GantryError, notFound, notImplemented, systemError } from "../../../lib/errors.ts";
import { type Descriptor, mediaTypes, mostManifestBytes } from "../../../lib/oci-image.ts";
import type { Platform } from "../../../lib/platform.ts";
import { canonicalName, familiarName, familiarRepository, parseReference, type Reference, repositoryOf } from "../../../lib/reference.ts";
import type { ImageContext } from "../context.ts";
import { emitPush } from "../events.ts";
import { type ImageName, isDangling } from "../store.ts";
import { mountSources } from "./mount-sources.ts";
import { type PushMessage, PushProgress } from "./progress.ts";
import { type PushTree, selectTarget, treeOf } from "./select.ts";

export interface PushRequest {
  /** Without tag and digest: all tags of the repository. */
  reference: Reference;
  platform: Platform | undefined;
  access: RegistryAccess;
  /** The client has gone. */
  signal: AbortSignal;
  /** Each message of the progress stream. */
  report: (message: PushMessage) => void;
}

/** Fails after the first message, which says where it goes. */
export async function pushImage(context: ImageContext, request: PushRequest): Promise<void> {
  const { reference, report } = request;
  report({ status: `The push refers to repository [${repositoryOf(reference)}]` });
  if (reference.tag !== undefined || reference.digest !== undefined) return pushOne(context, request, reference);
  const names = [...context.store.all()].filter((image) => !isDangling(image)).map(({ name }) => parseReference(name));
  const own = names.filter((name) => repositoryOf(name) === repositoryOf(reference) && name.tag !== undefined);
  if (own.length === 0) throw systemError(`An image does not exist locally with the tag: ${familiarRepository(reference)}`);
  for (const name of own) await pushOne(context, request, name);
}

async function pushOne(context: ImageContext, request: PushRequest, reference: Reference): Promise<void> {
  const { platform, access, report, signal } = request;
  const image = context.store.get(canonicalName(reference));
  if (!image) throw notFound(`tag does not exist: ${familiarName(reference)}`);
  if (!context.registries) throw notImplemented(`cannot push ${familiarName(reference)}: this engine was opened without registries`);
  using lease = context.leases.begin();
  const target = targetOf(context, image, { platform, report });
  const tree = treeOf(context, target);
  for (const { digest } of [...tree.blobs, ...tree.manifests, image.target]) lease.blob(digest);
  const repository = context.registries.repository(reference, access);
  await pushBlobs(context, tree, { repository, reference, signal, report });
  await pushManifests(context, tree, { repository, reference, target, signal });
  if (target.digest !== image.target.digest && platform === undefined) report({ aux: { manifestPushedInsteadOfIndex: true, originalIndex: image.target, selectedManifest: target } });
  if (reference.tag !== undefined) report({ status: `${reference.tag}: digest: ${target.digest} size: ${target.size}` });
  emitPush(context, image, { id: familiarName(reference), name: familiarRepository(reference) });
}

/** What cannot be pushed because it is not here is told in the stream. */
function targetOf(context: ImageContext, image: ImageName, { platform, report }: Pick<PushRequest, "platform" | "report">): Descriptor {
  const { target, name } = image;
  const chosen = selectTarget(context, { target, name: familiarName(parseReference(name)), platform });
  const [missing] = treeOf(context, chosen).missing;
  if (!missing) return chosen;
  report({ aux: { contentMissing: true, desc: chosen } });
  throw notFound(`content digest ${missing.digest}: not found`);
}

interface Destination {
  repository: Repository;
  reference: Reference;
  signal: AbortSignal;
}

async function pushBlobs(context: ImageContext, { blobs, manifests }: PushTree, { repository, reference, signal, report }: Destination & Pick<PushRequest, "report">): Promise<void> {
  using progress = new PushProgress(report);
  const shown = new Set(manifests.flatMap(({ digest }) => layersOf(context, digest)));
  for (const blob of blobs) if (shown.has(blob.digest)) progress.say(blob, "Waiting");
  const sources = await mountSources(context, reference, new Set(blobs.map(({ digest }) => digest)));
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const pushing = blobs.map((blob) => context.uploads.run(() => pushBlob(context, blob, { repository, signal: either, mountFrom: sources.get(blob.digest) ?? [], progress: shown.has(blob.digest) ? progress : undefined })));
  try {
    await Promise.all(pushing);
  } catch (error) {
    stop.abort();
    await Promise.allSettled(pushing);
    throw error;
  }
}

function layersOf({ documents }: ImageContext, digest: Digest): Digest[] {
  const document = documents.manifest(digest);
  return document.kind === "index" ? [] : document.layers.map((layer) => layer.digest);
}

interface BlobPush {
  repository: Repository;
  signal: AbortSignal;
  mountFrom: string[];
  /** Undefined: a configuration, which is not shown. */
  progress: PushProgress | undefined;
}

async function pushBlob({ content }: ImageContext, blob: Descriptor, { repository, signal, mountFrom, progress }: BlobPush): Promise<void> {
  if (signal.aborted) throw new GantryError("cancelled", "context canceled");
  const pushed = await repository.pushBlob(
    { digest: blob.digest, size: content.size(blob.digest) ?? blob.size, mountFrom, open: (offset) => content.stream(blob.digest, offset) },
    {
      signal,
      progress: (sent) => progress?.sent(blob, sent),
      retrying: (seconds) => progress?.say(blob, `Retrying in ${seconds} second${seconds === 1 ? "" : "s"}`),
    },
  );
  const words = { exists: "Layer already exists", uploaded: "Pushed", mounted: "" }[pushed.how];
  progress?.say(blob, pushed.how === "mounted" ? `Mounted from ${pushed.from}` : words);
}

async function pushManifests({ content, documents }: ImageContext, { manifests }: PushTree, { repository, reference, target, signal }: Destination & { target: Descriptor }): Promise<void> {
  for (const descriptor of manifests) {
    const isTarget = descriptor.digest === target.digest;
    const name = isTarget && reference.tag !== undefined ? reference.tag : descriptor.digest;
    if (await repository.hasManifest(name, descriptor.digest, { signal })) continue;
    const bytes = content.read(descriptor.digest, mostManifestBytes);
    await repository.putManifest(name, { mediaType: descriptor.mediaType || mediaTypeOf(documents.manifest(descriptor.digest).kind), digest: descriptor.digest, bytes }, { signal });
  }
}

const mediaTypeOf = (kind: "index" | "manifest"): string => (kind === "index" ? mediaTypes.ociIndex : mediaTypes.ociManifest);
