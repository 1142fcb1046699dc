/**
 * `docker pull`: a name becomes a digest (HEAD), the documents are fetched by digests, then the layers, which are unpacked as they arrive.
 * The name is given last. An index is kept whole, of its images only the one for the wanted platform.
 */
import type { Registries, RegistryAccess, Repository } from "../../../core/registry.ts";
import { type ErrorCode, GantryError, codeOf, notImplemented } from "../../../lib/errors.ts";
import { faultPoint } from "../../../lib/fault.ts";
import type { Descriptor } from "../../../lib/oci-image.ts";
import type { Platform } from "../../../lib/platform.ts";
import { type Reference, canonicalName, familiarName, familiarRepository, isTag, withDefaultTag } from "../../../lib/reference.ts";
import type { ImageContext } from "../context.ts";
import type { PlatformImage } from "../documents.ts";
import { emitPull } from "../events.ts";
import type { UnpackWatch } from "../layers.ts";
import type { Lease } from "../../../core/leases.ts";
import { giveName } from "../tag.ts";
import { type DocumentsRequest, fetchAttestation, fetchDocuments } from "./documents.ts";
import { loadEmbedded } from "./embedded.ts";
import { type PullMessage, PullProgress } from "./progress.ts";

export interface PullRequest {
  /** Without tag and digest: all tags of the repository. */
  reference: Reference;
  platform: Platform | undefined;
  access: RegistryAccess;
  /** The client has gone: the pull ends, unless somebody else waits for the same layers. */
  signal: AbortSignal;
  /** Each message of the progress stream. */
  report: (message: PullMessage) => void;
}

/** What another try may mend: what was fetched stays. */
const mendable: ReadonlySet<ErrorCode> = new Set(["cancelled", "unavailable", "deadline", "system"]);

/** Fails with the registry's refusals before the first message; "cancelled" by the signal. */
export async function pullImage(context: ImageContext, request: PullRequest): Promise<void> {
  const { reference } = request;
  if (await loadEmbedded(context, withDefaultTag(reference), request.report)) return;
  if (reference.tag !== undefined || reference.digest !== undefined) return pullOne(context, request, reference);
  const repository = repositoryOf(context.registries, request, reference);
  const tags = await repository.tags({ signal: request.signal });
  for (const tag of tags) if (isTag(tag)) await pullOne(context, request, { ...reference, tag });
}

function repositoryOf(registries: Registries | undefined, { access }: PullRequest, reference: Reference): Repository {
  if (!registries) throw notImplemented(`cannot pull ${familiarName(reference)}: this engine was opened without registries`);
  return registries.repository(reference, access);
}

async function pullOne(context: ImageContext, request: PullRequest, asked: Reference): Promise<void> {
  const { tag: _, ...digested } = asked;
  const reference: Reference = asked.digest === undefined ? asked : digested;
  const repository = repositoryOf(context.registries, request, reference);
  const target = await repository.resolve(reference.digest ?? reference.tag ?? "latest", { signal: request.signal });
  using lease = context.leases.begin();
  lease.blob(target.digest);
  request.report({ status: `Pulling from ${reference.path}`, id: reference.digest ?? reference.tag ?? "" });
  context.unfinished.begin(target);
  let kept = false;
  try {
    const wanted: DocumentsRequest = { repository, reference, target, platform: request.platform, signal: request.signal, lease };
    const { image, attestation } = await fetchDocuments(context, wanted);
    const parts = await Promise.allSettled([fetchLayers(context, { image, repository, lease, request }), attestation && fetchAttestation(context, wanted, attestation)]);
    for (const part of parts) if (part.status === "rejected") throw part.reason;
    context.durability.expect(target);
    faultPoint("image-pull-whole");
    giveTarget(context, request, { reference, target });
  } catch (error) {
    kept = mendable.has(codeOf(error));
    throw error;
  } finally {
    context.unfinished.end(target, { kept });
  }
}

function giveTarget(context: ImageContext, { report }: PullRequest, { reference, target }: { reference: Reference; target: Descriptor }): void {
  const isNewer = context.store.get(canonicalName(reference))?.target.digest !== target.digest;
  giveName(context, canonicalName(reference), target);
  faultPoint("image-pull-named");
  emitPull(context, target, { id: familiarName(reference), name: familiarRepository(reference) });
  report({ status: `Digest: ${target.digest}` });
  report({ status: `Status: ${isNewer ? "Downloaded newer image" : "Image is up to date"} for ${familiarName(reference)}` });
}

interface Fetch {
  image: PlatformImage;
  repository: Repository;
  lease: Lease;
  request: PullRequest;
}

/** All layers here, and unpacked. Blobs that were damaged on the disk are fetched anew. */
async function fetchLayers(context: ImageContext, fetch: Fetch): Promise<void> {
  const { image, lease } = fetch;
  for (const { digest } of image.manifest.layers) lease.blob(digest);
  for (const name of image.chain) lease.snapshot(name);
  try {
    await fetchAndUnpack(context, fetch);
  } catch (error) {
    if (codeOf(error) !== "data-loss" || !(await dropDamaged(context, image))) throw error;
    await fetchAndUnpack(context, fetch);
  }
}

/** Whether there were any. */
async function dropDamaged({ content, layers }: ImageContext, image: PlatformImage): Promise<boolean> {
  let found = false;
  for (const [at, { digest }] of image.manifest.layers.entries()) {
    if (layers.hasLayer(image, at) || !content.has(digest) || (await content.verify(digest))) continue;
    content.delete(digest);
    found = true;
  }
  return found;
}

async function fetchAndUnpack(context: ImageContext, { image, repository, request }: Fetch): Promise<void> {
  const { content, downloads, layers } = context;
  const missing = new Map(image.manifest.layers.filter((layer) => !content.has(layer.digest)).map((layer) => [layer.digest, layer]));
  if (missing.size === 0 && layers.isUnpacked(image)) return;
  using progress = new PullProgress(request.report);
  for (const [at, layer] of image.manifest.layers.entries()) {
    const unpacked = layers.hasLayer(image, at);
    if (unpacked && !missing.has(layer.digest)) progress.exists(layer);
    else progress.begin(layer, { downloaded: !missing.has(layer.digest), unpacked });
  }
  const leaving = new AbortController();
  const signal = AbortSignal.any([request.signal, leaving.signal]);
  const fetched = [...missing.values()].map((blob) => downloads.fetch({ blob, repository, signal, changed: (state) => progress.downloading(blob.digest, state) }));
  const watch: UnpackWatch = {
    arriving: (digest) => downloads.arriving(digest),
    unpacking: (digest, one) => progress.unpacking(digest, one),
    unpacked: (digest) => progress.unpacked(digest),
  };
  const unpacking = layers.unpack(image, { watch });
  unpacking.catch(() => undefined);
  try {
    await Promise.all(fetched);
  } catch (error) {
    leaving.abort();
    /* Not for the unpacking: another pull may share it. It ends with the last download that it follows. */
    await Promise.allSettled(fetched);
    throw request.signal.aborted ? cancelled() : error;
  }
  try {
    await unpacking;
  } catch {
    if (request.signal.aborted) throw cancelled();
    /* What arrived may have been wrong and was fetched again, or somebody else left: all is here and verified now. */
    await layers.unpack(image);
  }
}

const cancelled = (): Error => new GantryError("cancelled", "context canceled");
