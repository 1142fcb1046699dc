/** `docker save`: an OCI layout, with a manifest.json for older readers. The same images give the same bytes. */
import { type Digest, hexOf } from "../../lib/digest.ts";
import { notFound } from "../../lib/errors.ts";
import { type Descriptor, isNonDistributable } from "../../lib/oci-image.ts";
import { type Platform, platformDistance } from "../../lib/platform.ts";
import { type Reference, canonicalName, familiarName, parseReference, repositoryOf } from "../../lib/reference.ts";
import { tarEnd, tarHeader, tarPadding } from "../../lib/tar-header.ts";
import type { ImageContext } from "./context.ts";
import { bestFor } from "./documents.ts";
import { emitImage } from "./events.ts";
import { findImage, missing } from "./find.ts";
import { platformMissing } from "./inspect.ts";
import type { Lease } from "../../core/leases.ts";
import { type ImageName, isDangling } from "./store.ts";
import { printable } from "./summary.ts";

interface Saved {
  image: ImageName;
  target: Descriptor;
  /** Undefined when it was asked for by its id. */
  reference: Reference | undefined;
}

/** Finds everything before the first byte; the stream keeps what it needs until it ends or is left. */
export function saveImages(context: ImageContext, names: readonly string[], platforms: readonly Platform[]): AsyncIterable<Uint8Array> {
  const saved = names.flatMap((name) => findSaved(context, name)).map((one) => ({ ...one, target: onePlatform(context, one, platforms) }));
  const lease = context.leases.begin();
  try {
    const blobs = blobsOf(context, saved, platforms);
    for (const { digest } of blobs) lease.blob(digest);
    for (const { image } of saved) emitImage(context, "save", image, image.target.digest);
    return archive(context, { saved, blobs, platforms }, lease);
  } catch (error) {
    lease[Symbol.dispose]();
    throw error;
  }
}

/** A name without a tag means all tags of its repository. */
function findSaved({ store }: ImageContext, name: string): Saved[] {
  const reference = attempt(() => parseReference(name));
  const found = attempt(() => findImage(store, name));
  const byId = found !== undefined && hexOf(found.target.digest).startsWith(name.replace(/^sha256:/, ""));
  if (!byId && reference && reference.tag === undefined && reference.digest === undefined) {
    const all = [...store.all()].filter((image) => !isDangling(image)).map((image) => ({ image, target: image.target, reference: parseReference(image.name) }));
    const same = all.filter((one) => one.reference.tag !== undefined && repositoryOf(one.reference) === repositoryOf(reference));
    if (same.length === 0) throw missing(reference);
    return same;
  }
  const image = found ?? findImage(store, name);
  return [{ image, target: image.target, reference: byId || reference?.digest !== undefined ? undefined : reference }];
}

function onePlatform({ documents }: ImageContext, { target, image }: Saved, platforms: readonly Platform[]): Descriptor {
  const [platform] = platforms;
  if (platform === undefined || platforms.length > 1) return target;
  const best = bestFor(documents.imagesOf(target), platform);
  if (!best) throw notFound(`no suitable export target found: ${platformMissing(isDangling(image) ? image.target.digest : familiarName(parseReference(image.name)), platform).message}`);
  return best.descriptor;
}

/** By digest, each once, sorted. */
function blobsOf({ documents, content }: ImageContext, saved: readonly Saved[], platforms: readonly Platform[]): Descriptor[] {
  const found = new Map<Digest, Descriptor>();
  const add = (descriptor: Descriptor): void => {
    if (found.has(descriptor.digest) || !content.has(descriptor.digest)) return;
    const document = documents.manifest(descriptor.digest);
    if (document.kind === "manifest" && platforms.length > 1 && !served(descriptor, platforms)) return;
    found.set(descriptor.digest, descriptor);
    if (document.kind === "index") for (const child of document.manifests) add(child);
    else for (const part of [document.config, ...document.layers]) if (content.has(part.digest) && !isNonDistributable(part.mediaType)) found.set(part.digest, part);
  };
  for (const { target } of saved) {
    if (!content.has(target.digest)) throw notFound(`content ${target.digest} is missing`);
    add(target);
  }
  return [...found.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1));
}

const served = ({ platform }: Descriptor, platforms: readonly Platform[]): boolean => platform === undefined || platforms.some((wanted) => platformDistance(wanted, platform) !== undefined);

async function* archive(context: ImageContext, { saved, blobs }: { saved: readonly Saved[]; blobs: readonly Descriptor[]; platforms: readonly Platform[] }, lease: Lease): AsyncGenerator<Uint8Array> {
  using _ = lease;
  for (const name of ["blobs/", "blobs/sha256/"]) yield tarHeader({ name, size: 0, mode: 0o755, mtime: 0 });
  for (const { digest } of blobs) {
    const size = context.content.size(digest) ?? 0;
    yield tarHeader({ name: `blobs/sha256/${hexOf(digest)}`, size, mode: 0o444, mtime: 0 });
    yield* context.content.stream(digest);
    yield tarPadding(size);
  }
  yield* file("index.json", JSON.stringify({ schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: saved.map(indexEntry) }), 0o644);
  yield* file("manifest.json", JSON.stringify(dockerManifest(context, saved)), 0o644);
  yield* file("oci-layout", '{"imageLayoutVersion":"1.0.0"}', 0o444);
  yield tarEnd();
}

function* file(name: string, text: string, mode: number): Iterable<Uint8Array> {
  const bytes = Buffer.from(text);
  yield tarHeader({ name, size: bytes.length, mode, mtime: 0 });
  yield bytes;
  yield tarPadding(bytes.length);
}

function indexEntry({ target, reference }: Saved): object {
  if (!reference) return printable(target);
  const tag = reference.tag ?? "latest";
  return { ...printable(target), annotations: { "io.containerd.image.name": canonicalName({ ...reference, tag }), "org.opencontainers.image.ref.name": tag } };
}

/** One entry for each image, with all its names. */
function dockerManifest({ documents, host }: ImageContext, saved: readonly Saved[]): object[] {
  const entries = new Map<Digest, { Config: string; RepoTags: string[] | null; Layers: string[] }>();
  const path = (digest: Digest): string => `blobs/sha256/${hexOf(digest)}`;
  for (const { target, reference } of saved) {
    const images = documents.imagesOf(target);
    const image = bestFor(images, host) ?? images[0];
    if (!image) continue;
    const entry = entries.get(image.descriptor.digest) ?? { Config: path(image.manifest.config.digest), RepoTags: null, Layers: image.manifest.layers.map((layer) => path(layer.digest)) };
    if (reference) entry.RepoTags = [...(entry.RepoTags ?? []), familiarName({ ...reference, tag: reference.tag ?? "latest" })];
    entries.set(image.descriptor.digest, entry);
  }
  return [...entries.values()];
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
