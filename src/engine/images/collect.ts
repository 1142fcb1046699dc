/** Drops blobs and snapshots that no image, container or operation under way needs. */
import { reachable } from "../../core/collect.ts";
import type { Digest } from "../../lib/digest.ts";
import { messageOf } from "../../lib/errors.ts";
import { faultPoint } from "../../lib/fault.ts";
import type { Descriptor } from "../../lib/oci-image.ts";
import type { ImageContext } from "./context.ts";
import { type StoredId, blobId, snapshotId } from "../../core/leases.ts";

export interface CollectOptions {
  /** Containers that exist: other writable layers go. Absent while containers may be in the making: then all stay. */
  containers?: ReadonlySet<string>;
}

/** What nothing needs. */
export interface Garbage {
  blobs: ReadonlySet<Digest>;
  snapshots: ReadonlySet<string>;
  /** Some layers stay only because containers stand on them. */
  orphaned: boolean;
}

/** What was dropped. */
export interface Collected extends Pick<Garbage, "blobs" | "snapshots"> {
  /** What it took on the disk. */
  bytes: number;
}

interface Roots {
  targets: Iterable<Descriptor>;
  /** Of writable layers. */
  isLeftOver?: (key: string) => boolean;
}

/** What the loop may be kept for at a time. */
const sliceMilliseconds = 3;

/** All at once, so that nothing that is made meanwhile is overlooked. */
export function garbageOf(context: ImageContext, { targets, isLeftOver = () => false }: Roots): Garbage {
  const snapshots = context.snapshotter.list();
  const parents = new Map(snapshots.map((snapshot) => [snapshotId(snapshot.key), snapshot.parent]));
  const kept = new Set<StoredId>(context.leases.held());
  for (const target of targets) for (const id of imageParts(context, target)) kept.add(id);
  const below = (id: StoredId): StoredId[] => {
    const parent = parents.get(id);
    return parent === undefined ? [] : [snapshotId(parent)];
  };
  const ofImages = reachable(kept, below).size;
  const containers = snapshots.filter(({ key, kind }) => kind === "active" && !isLeftOver(key)).map(({ key }) => snapshotId(key));
  const live = reachable([...kept, ...containers], below);
  return {
    orphaned: live.size > ofImages + new Set(containers).size,
    blobs: new Set(context.content.list().filter((digest) => !live.has(blobId(digest)))),
    snapshots: new Set(snapshots.map(({ key }) => key).filter((key) => !live.has(snapshotId(key)))),
  };
}

/** What names and unfinished pulls keep. */
export const rootsOf = ({ store, unfinished }: ImageContext): Descriptor[] => [...[...store.all()].map(({ target }) => target), ...unfinished.targets()];

export async function bytesOf({ content, layers }: ImageContext, { blobs, snapshots }: Pick<Garbage, "blobs" | "snapshots">): Promise<number> {
  let bytes = 0;
  for (const digest of blobs) bytes += content.size(digest) ?? 0;
  for (const key of snapshots) bytes += await layers.layerBytes(key as Digest);
  return bytes;
}

export async function collect(context: ImageContext, options: CollectOptions = {}): Promise<Collected> {
  const { content, snapshotter, documents } = context;
  /* Containers may be made while this waits: only layers that are there now can be left over. */
  const present = options.containers && new Set(snapshotter.list().map(({ key }) => key));
  const isLeftOver = (key: string): boolean => present !== undefined && present.has(key) && options.containers?.has(key) === false;
  await readDocuments(context);
  const first = garbageOf(context, { targets: rootsOf(context), isLeftOver });
  const bytes = await bytesOf(context, first);
  const { blobs, snapshots, orphaned } = garbageOf(context, { targets: rootsOf(context), isLeftOver });
  context.orphaned = orphaned;
  if (blobs.size + snapshots.size > 0) faultPoint("image-collect-begun");
  /* All are begun before one is waited for: what is asked for meanwhile must not find half of them. */
  const removals = Promise.allSettled([...snapshots].map((key) => snapshotter.remove(key)));
  const dropped = new Set<Digest>();
  const problems: unknown[] = [];
  for (const digest of blobs) {
    try {
      content.delete(digest);
      documents.forget(digest);
      dropped.add(digest);
      faultPoint("image-collect-blob");
    } catch (error) {
      problems.push(error);
    }
  }
  if (snapshots.size > 0) faultPoint("image-collect-layers");
  for (const removal of await removals) if (removal.status === "rejected") problems.push(removal.reason);
  if (problems.length > 0) context.warn?.(`cannot drop ${problems.length} unused layers and blobs: ${messageOf(problems[0])}`);
  return { blobs: dropped, snapshots, bytes };
}

/** Ends when what was dropped so far takes no room any more. */
export async function roomIsBack({ content, snapshotter }: ImageContext): Promise<void> {
  await Promise.all([content.settled(), snapshotter.settled()]);
}

/** Reads what is not in memory yet, in slices. */
async function readDocuments(context: ImageContext): Promise<void> {
  let started = performance.now();
  for (const { target } of [...context.store.all()]) {
    for (const _ of imageParts(context, target));
    if (performance.now() - started < sliceMilliseconds) continue;
    await new Promise(setImmediate);
    started = performance.now();
  }
}

/** All that belongs to an image, as far as it can be read. A damaged image keeps what is known of it. */
function* imageParts({ documents, content }: Pick<ImageContext, "documents" | "content">, target: Descriptor, depth = 0): Iterable<StoredId> {
  yield blobId(target.digest);
  if (depth > 8 || !content.has(target.digest)) return;
  const manifest = attempt(() => documents.manifest(target.digest));
  if (!manifest) return;
  if (manifest.kind === "index") {
    for (const child of manifest.manifests) yield* imageParts({ documents, content }, child, depth + 1);
    return;
  }
  yield blobId(manifest.config.digest);
  for (const layer of manifest.layers) yield blobId(layer.digest);
  for (const name of attempt(() => documents.image(target).chain) ?? []) yield snapshotId(name);
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
