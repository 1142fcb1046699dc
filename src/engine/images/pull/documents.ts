/** From the digest of a manifest or index to the documents of one platform's image, each verified before it is read. */
import type { Repository } from "../../../core/registry.ts";
import { type Digest, digestOf } from "../../../lib/digest.ts";
import { GantryError, codeOf, invalidParameter, notFound } from "../../../lib/errors.ts";
import { faultPoint } from "../../../lib/fault.ts";
import { type Descriptor, type Index, type Manifest, isIndexType, mediaTypes, mostConfigBytes, mostManifestBytes, readManifest } from "../../../lib/oci-image.ts";
import { type Platform, formatPlatform, platformDistance } from "../../../lib/platform.ts";
import { type Reference, canonicalName } from "../../../lib/reference.ts";
import { attestationOf, isCompanion } from "../companions.ts";
import type { ImageContext } from "../context.ts";
import type { PlatformImage } from "../documents.ts";
import type { Lease } from "../../../core/leases.ts";

export interface DocumentsRequest {
  repository: Repository;
  reference: Reference;
  target: Descriptor;
  /** Undefined: this machine's, and of an image without an index whatever it is. */
  platform: Platform | undefined;
  signal: AbortSignal;
  lease: Lease;
}

const mostIndexDepth = 4;
const schema1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\+/;
const configTypes: ReadonlySet<string> = new Set([mediaTypes.ociConfig, mediaTypes.dockerConfig, "application/octet-stream", ""]);

export interface PulledDocuments {
  image: PlatformImage;
  /** What the index says of it. */
  attestation: Descriptor | undefined;
}

export async function fetchDocuments(context: ImageContext, request: DocumentsRequest): Promise<PulledDocuments> {
  let attestation: Descriptor | undefined;
  let descriptor = request.target;
  let manifest = await fetchManifest(context, request, descriptor);
  for (let depth = 0; manifest.kind === "index"; depth++) {
    if (depth >= mostIndexDepth) throw invalidParameter("indexes are nested too deeply");
    descriptor = chosen(manifest, request.platform ?? context.host);
    attestation = attestationOf(manifest, descriptor.digest);
    manifest = await fetchManifest(context, request, descriptor);
  }
  if (!configTypes.has(manifest.config.mediaType)) throw invalidParameter(`${canonicalName(request.reference)} is not an image that can be run: its configuration is ${JSON.stringify(manifest.config.mediaType)}`);
  await fetchConfig(context, request, manifest.config);
  const image = context.documents.image(descriptor);
  const { platform } = request;
  if (platform !== undefined && platformDistance(platform, image.platform) === undefined)
    throw notFound(`image with reference ${canonicalName(request.reference)} was found but its platform (${formatPlatform(image.platform)}) does not match the specified platform (${formatPlatform(platform)})`);
  return { image, attestation };
}

/** Its manifest and what that refers to, none of which is unpacked. A registry that has not got it keeps nobody from the image. */
export async function fetchAttestation(context: ImageContext, request: DocumentsRequest, descriptor: Descriptor): Promise<void> {
  const { repository, signal, lease } = request;
  try {
    const manifest = await fetchManifest(context, request, descriptor);
    if (manifest.kind === "index") return;
    for (const blob of [manifest.config, ...manifest.layers]) {
      lease.blob(blob.digest);
      await context.downloads.fetch({ blob, repository, signal, changed: () => undefined });
    }
  } catch (error) {
    if (codeOf(error) !== "not-found") throw error;
  }
}

/** Attestations and other companions are no images. */
function chosen({ manifests }: Index, platform: Platform): Descriptor {
  let best: Descriptor | undefined;
  let least = Infinity;
  for (const descriptor of manifests) {
    if (isCompanion(descriptor)) continue;
    const distance = descriptor.platform === undefined ? 1000 : platformDistance(platform, descriptor.platform);
    if (distance === undefined || distance >= least) continue;
    best = descriptor;
    least = distance;
  }
  if (best) return best;
  throw notFound(`no matching manifest for ${formatPlatform(platform)} in the manifest list entries: no match for platform in manifest: not found`);
}

async function fetchManifest(context: ImageContext, { repository, reference, signal, lease }: DocumentsRequest, descriptor: Descriptor): Promise<Index | Manifest> {
  const { content, documents } = context;
  const { digest, mediaType } = descriptor;
  if (schema1.test(mediaType)) throw schema1Refusal(reference);
  if (descriptor.size > mostManifestBytes) throw invalidParameter(`the manifest ${digest} has ${descriptor.size} bytes, more than ${mostManifestBytes}`);
  lease.blob(digest);
  if (!isHere(context, digest, mostManifestBytes)) {
    const fetched = await repository.manifest(digest, { signal });
    if (schema1.test(fetched.mediaType)) throw schema1Refusal(reference);
    const bytes = Buffer.from(fetched.bytes.buffer, fetched.bytes.byteOffset, fetched.bytes.length);
    verify(bytes, descriptor);
    requireReadable(bytes, descriptor);
    content.write(bytes);
    faultPoint("image-pull-manifest");
  }
  const manifest = documents.manifest(digest);
  if ((manifest.kind === "index") !== isIndexType(mediaType) && mediaType !== "") throw invalidParameter(`${digest} is not of its type ${mediaType}`);
  return manifest;
}

/** Before it is kept. */
function requireReadable(bytes: Buffer, { digest }: Descriptor): void {
  try {
    readManifest(bytes);
  } catch (cause) {
    throw invalidParameter(`the manifest ${digest} cannot be used: ${(cause as Error).message}`, cause);
  }
}

async function fetchConfig(context: ImageContext, { repository, signal, lease }: DocumentsRequest, config: Descriptor): Promise<void> {
  lease.blob(config.digest);
  if (isHere(context, config.digest, mostConfigBytes)) return;
  if (config.size > mostConfigBytes) throw invalidParameter(`the configuration ${config.digest} has ${config.size} bytes, more than ${mostConfigBytes}`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of repository.openBlob(config, { signal })) chunks.push(Buffer.from(chunk));
  const bytes = Buffer.concat(chunks);
  verify(bytes, config);
  context.content.write(bytes);
  faultPoint("image-pull-config");
}

/** A document that was damaged on the disk is dropped, to be fetched again. */
function isHere({ content, documents }: ImageContext, digest: Digest, mostBytes: number): boolean {
  if (!content.has(digest)) return false;
  try {
    content.read(digest, mostBytes);
    return true;
  } catch {
    content.delete(digest);
    documents.forget(digest);
    return false;
  }
}

function verify(bytes: Buffer, { digest, size }: Descriptor): void {
  if (bytes.length !== size) throw new GantryError("data-loss", `${digest} has ${bytes.length} bytes, its descriptor says ${size}`);
  const found = digestOf(bytes);
  if (found !== digest) throw new GantryError("data-loss", `failed to verify content: expected ${digest}, got ${found}`);
}

function schema1Refusal(reference: Reference): Error {
  return invalidParameter(`${canonicalName(reference)} is a Docker image of manifest version 2, schema 1, which is not supported any more: ask its publisher for an OCI or schema 2 image, or convert it with "skopeo copy --format oci"`);
}
