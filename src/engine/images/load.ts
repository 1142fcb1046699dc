/** `docker load`: archives of docker save, in OCI layout or in the older Docker form, in any compression that we read. */
import type { ArchiveReceiver, ContentStore } from "../../core/content.ts";
import { type Digest, hexOf } from "../../lib/digest.ts";
import { invalidParameter, notFound, systemError } from "../../lib/errors.ts";
import { faultPoint } from "../../lib/fault.ts";
import { Limiter } from "../../lib/limiter.ts";
import { isIndexType, isNonDistributable, mediaTypes, mostConfigBytes, mostManifestBytes, readImageDocument, readManifest } from "../../lib/oci-image.ts";
import type { Descriptor } from "../../lib/oci-image.ts";
import { canonicalName, parseReference, withDefaultTag } from "../../lib/reference.ts";
import { parseStrictJson } from "../../lib/strict-json.ts";
import type { Lease } from "../../core/leases.ts";

/** An image that an archive brings: its blobs are in the content store. */
export interface BroughtImage {
  /** Canonical; undefined when the archive names none that is valid. */
  name: string | undefined;
  target: Descriptor;
}

const mostImages = 1000;
const mostIndexDepth = 4;
const hashedAtOnce = 2;

/** Moves an archive's images into the content store. `adopted`: blobs that were compared with their digests. */
export async function readImageArchive(archive: ArchiveReceiver, content: ContentStore, lease: Lease): Promise<{ images: BroughtImage[]; adopted: ReadonlySet<Digest> }> {
  const reader: Reader = { archive, content, lease, adopted: new Set<Digest>(), hashing: new Limiter(hashedAtOnce) };
  const layout = archive.read("oci-layout", 4096);
  const index = layout === undefined ? undefined : archive.read("index.json", mostManifestBytes);
  if (index !== undefined) return { images: await readLayout(reader, index), adopted: reader.adopted };
  const manifest = archive.read("manifest.json", mostManifestBytes);
  if (manifest !== undefined) return { images: await readDockerArchive(reader, manifest), adopted: reader.adopted };
  throw systemError("unrecognized image format");
}

interface Reader {
  archive: ArchiveReceiver;
  content: ContentStore;
  lease: Lease;
  adopted: Set<Digest>;
  hashing: Limiter;
}

async function readLayout(reader: Reader, bytes: Uint8Array): Promise<BroughtImage[]> {
  const index = readManifest(bytes);
  if (index.kind !== "index") throw invalidParameter("invalid archive: index.json is not an index");
  if (index.manifests.length > mostImages) throw invalidParameter(`invalid archive: more than ${mostImages} images`);
  const images: BroughtImage[] = [];
  for (const descriptor of index.manifests) {
    if (!(await adopt(reader, descriptor))) throw notFound(`invalid archive: content ${descriptor.digest} is missing`);
    await adoptChildren(reader, descriptor, 0);
    images.push({ name: nameOf(descriptor), target: descriptor });
  }
  return images;
}

function nameOf(descriptor: Descriptor): string | undefined {
  const name = descriptor.annotations?.["io.containerd.image.name"] ?? descriptor.annotations?.["org.opencontainers.image.ref.name"];
  /* A bare tag in ref.name names no repository. */
  if (name === undefined || (descriptor.annotations?.["io.containerd.image.name"] === undefined && !/[/:]/.test(name))) return undefined;
  return validName(name);
}

function validName(name: string): string | undefined {
  try {
    const reference = withDefaultTag(parseReference(name));
    return reference.digest === undefined ? canonicalName(reference) : undefined;
  } catch {
    return undefined;
  }
}

/** False when the archive does not have it. */
async function adopt(reader: Reader, descriptor: Descriptor): Promise<boolean> {
  reader.lease.blob(descriptor.digest);
  if (reader.adopted.has(descriptor.digest)) return true;
  const path = `blobs/sha256/${hexOf(descriptor.digest)}`;
  if (!reader.archive.has(path)) return reader.content.has(descriptor.digest);
  const { size } = await reader.hashing.run(() => reader.archive.adopt(path, { expected: descriptor.digest }));
  if (size !== descriptor.size) throw invalidParameter(`invalid archive: ${descriptor.digest} has ${size} bytes, its descriptor says ${descriptor.size}`);
  reader.adopted.add(descriptor.digest);
  faultPoint("image-load-adopted");
  return true;
}

/** Platforms of an index may be missing, parts of a manifest may not. */
async function adoptChildren(reader: Reader, descriptor: Descriptor, depth: number): Promise<void> {
  const document = readManifest(reader.content.read(descriptor.digest, mostManifestBytes));
  if (document.kind === "manifest") {
    if (isIndexType(descriptor.mediaType)) throw invalidParameter(`invalid archive: ${descriptor.digest} is a manifest, its descriptor says index`);
    await together([document.config, ...document.layers], async (part) => {
      if (!(await adopt(reader, part)) && !isNonDistributable(part.mediaType)) throw notFound(`invalid archive: content ${part.digest} of manifest ${descriptor.digest} is missing`);
    });
    return;
  }
  if (depth >= mostIndexDepth) throw invalidParameter("invalid archive: indexes are nested too deeply");
  for (const child of document.manifests) if (await adopt(reader, child)) await adoptChildren(reader, child, depth + 1);
}

/** For all, at once as far as there is room; fails when all have ended. */
async function together<Item, Result>(items: readonly Item[], work: (item: Item) => Promise<Result>): Promise<Result[]> {
  const ended = await Promise.allSettled(items.map(work));
  return ended.map((one) => {
    if (one.status === "rejected") throw one.reason;
    return one.value;
  });
}

interface DockerEntry {
  config: string;
  tags: string[];
  layers: string[];
}

async function readDockerArchive(reader: Reader, bytes: Uint8Array): Promise<BroughtImage[]> {
  const images: BroughtImage[] = [];
  for (const entry of dockerEntries(parseStrictJson(bytes, mostManifestBytes))) {
    const target = await adoptDockerImage(reader, entry);
    const names = entry.tags.map(validName).filter((name) => name !== undefined);
    if (names.length === 0) images.push({ name: undefined, target });
    for (const name of names) images.push({ name, target });
  }
  return images;
}

function dockerEntries(json: unknown): DockerEntry[] {
  if (!Array.isArray(json) || json.length > mostImages) throw invalidParameter("invalid archive: manifest.json is not a list of images");
  return json.map((value: unknown) => {
    const entry = value as Record<string, unknown> | null;
    const texts = (list: unknown): string[] => {
      if (list === null || list === undefined) return [];
      if (Array.isArray(list) && list.every((text) => typeof text === "string")) return list;
      throw invalidParameter("invalid archive: manifest.json has a list that is not of strings");
    };
    if (typeof entry !== "object" || entry === null || typeof entry["Config"] !== "string") throw invalidParameter("invalid archive: manifest.json names no Config");
    return { config: entry["Config"], tags: texts(entry["RepoTags"]), layers: texts(entry["Layers"]) };
  });
}

/** Such archives have no manifest: one is made, as a registry would have it. */
async function adoptDockerImage(reader: Reader, entry: DockerEntry): Promise<Descriptor> {
  const config = await adoptPath(reader, entry.config);
  const document = readImageDocument(reader.content.read(config.digest, mostConfigBytes));
  if (document.rootfs.diff_ids.length !== entry.layers.length) throw invalidParameter(`invalid archive: ${entry.layers.length} layers, but the configuration has ${document.rootfs.diff_ids.length}`);
  const layers = await together(entry.layers, async (path) => {
    const { digest, size, compression } = await adoptPath(reader, path);
    return { mediaType: layerType(compression), digest, size };
  });
  const manifest = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.dockerManifest, config: { mediaType: mediaTypes.dockerConfig, digest: config.digest, size: config.size }, layers }),
  );
  const digest = reader.content.write(manifest);
  reader.lease.blob(digest);
  return { mediaType: mediaTypes.dockerManifest, digest, size: manifest.length };
}

const layerType = (compression: "plain" | "gzip" | "zstd"): string => (compression === "plain" ? mediaTypes.dockerLayer : `${mediaTypes.dockerLayer}.${compression}`);

async function adoptPath(reader: Reader, path: string): Promise<{ digest: Digest; size: number; compression: "plain" | "gzip" | "zstd" }> {
  const adopted = await reader.hashing.run(() => reader.archive.adopt(path, { naming: (digest) => reader.lease.blob(digest) }));
  reader.adopted.add(adopted.digest);
  faultPoint("image-load-adopted");
  return adopted;
}

