/**
 * Images: names, what they point to, their blobs and unpacked layers.
 *
 *   const images = createImageService({ database, content, snapshotter, events, host: hostPlatform(), containersUsing, embedded });
 *   await images.collect({ containers });               // once at start, with the ids of all containers
 *   const image = images.resolve("busybox");            // ImageForRun, from memory; throws "No such image: busybox:latest"
 *   await images.layers.create(containerId, image);     // the container's writable layer, unpacking the image if need be
 *   images.layers.mounts(containerId);                  // TaskRequest.rootfs
 *
 * where `database` was opened with imageMigrations among its migrations, `content` comes from drivers/content-local
 * (<root>/content) and `snapshotter` from drivers/storage-overlay2 (<root>/layers/overlay2), both chosen in src/cmd.
 */
import type { ImageForRun } from "../../core/image.ts";
import type { RootfsMount } from "../../core/runtime.ts";
import type { PrepareOptions, SnapshotChange, Snapshotter } from "../../core/snapshotter.ts";
import type { Migration } from "../../sys/database.ts";
import type { Digest } from "../../lib/digest.ts";
import type { Filters } from "../../lib/filters.ts";
import { Limiter } from "../../lib/limiter.ts";
import type { Platform } from "../../lib/platform.ts";
import type { Reference } from "../../lib/reference.ts";
import { type AttestationRequest, imageAttestations } from "./attestations.ts";
import { type AuditOptions, auditImages } from "./audit.ts";
import { type CollectOptions, collect, roomIsBack } from "./collect.ts";
import { type CommitRequest, commitImage } from "./commit.ts";
import type { ImageContext, ImageServiceOptions } from "./context.ts";
import { Documents } from "./documents.ts";
import { Durability, durabilityMigrations } from "./durability.ts";
import { findImage } from "./find.ts";
import { type ImportRequest, importImage } from "./import.ts";
import { type InspectOptions, imageHistory, inspectImage } from "./inspect.ts";
import { Layers } from "./layers.ts";
import { Leases } from "../../core/leases.ts";
import { KeptLists } from "./kept-lists.ts";
import type { ListOptions } from "./list.ts";
import { type LoadOptions, loadArchive } from "./load-images.ts";
import { type PruneRequest, planPrune, pruneImages } from "./prune.ts";
import { Downloads } from "./pull/downloads.ts";
import { type PullRequest, pullImage } from "./pull/pull.ts";
import { UnfinishedPulls, leaseMigrations } from "./pull/unfinished.ts";
import { type PushRequest, pushImage } from "./push/push.ts";
import { type RemoveOptions, removeImage } from "./remove.ts";
import { resolveForRun } from "./resolve.ts";
import { saveImages } from "./save.ts";
import { ImageStore, nameMigrations } from "./store.ts";
import { SummaryCache } from "./summary.ts";
import { tagImage } from "./tag.ts";
import { imagesUsage } from "./usage.ts";

export const imageMigrations: readonly Migration[] = [...nameMigrations, ...leaseMigrations, ...durabilityMigrations];
export type { ImageServiceOptions } from "./context.ts";
export type ImageService = ReturnType<typeof createImageService>;

export function createImageService(options: ImageServiceOptions) {
  const leases = new Leases();
  const context: ImageContext = {
    ...options,
    store: new ImageStore(options.database),
    documents: new Documents(options.content),
    layers: new Layers(options.content, options.snapshotter, leases),
    downloads: new Downloads(options.content, options.concurrentDownloads ?? 3),
    unfinished: new UnfinishedPulls(options.database),
    summaries: new SummaryCache(),
    durability: new Durability(options.database, { boot: options.bootId ?? "", sync: () => options.content.sync() }),
    leases,
    uploads: new Limiter(options.concurrentUploads ?? 5),
    orphaned: false,
  };
  const lists = new KeptLists(context);
  return {
    /** The image that a name or id means, for the wanted platform or else this machine's (then any other that is here).
     *  "invalid-parameter" for malformed names, "not-found" with Docker's words. */
    resolve: (ref: string, platform?: Platform): ImageForRun => resolveForRun(context, ref, platform),
    /** The id that a name means now; undefined when there is none, also for malformed names. */
    idOf: (ref: string): Digest | undefined => idOf(context, ref),
    /** Other numbers of layers at once, from now on. */
    limitTransfers({ downloads, uploads }: { downloads: number; uploads: number }): void {
      context.downloads.limit(downloads);
      context.uploads.limit(uploads);
    },
    /** How many images there are, with and without names. */
    count: (): number => new Set(context.store.targets()).size,
    /** Containers' writable layers. */
    layers: containerLayers(context),

    /** Reads an archive of images from its bytes (a request's body, a file's stream). */
    load: (bytes: AsyncIterable<Uint8Array>, loadOptions: LoadOptions) => loadArchive(context, bytes, loadOptions),
    import: (bytes: AsyncIterable<Uint8Array>, request: ImportRequest) => importImage(context, bytes, request),
    save: (names: readonly string[], platforms: readonly Platform[]) => saveImages(context, names, platforms),
    pull: (request: PullRequest) => pullImage(context, request),
    push: (request: PushRequest) => pushImage(context, request),
    /** Bytes of all images, what they share counted once. */
    usage: () => imagesUsage(context),
    /** What is listed is not to be changed; the same list is the same object. */
    list: (listOptions: ListOptions) => lists.list(listOptions),
    inspect: (ref: string, inspectOptions: InspectOptions) => inspectImage(context, ref, inspectOptions),
    history: (ref: string, platform?: Platform) => imageHistory(context, ref, platform),
    tag: (source: string, reference: Reference): void => tagImage(context, source, reference),
    attestations: (ref: string, request: AttestationRequest) => imageAttestations(context, ref, request),
    remove: (ref: string, removeOptions: RemoveOptions) => removeImage(context, ref, removeOptions),
    prune: (request: PruneRequest) => pruneImages(context, request),
    /** What a prune would do, were these containers gone. */
    planPrune: (filters: Filters, without?: ReadonlySet<string>) => planPrune(context, filters, without),
    /** Whether all that is on the disk is whole and belongs to something. */
    audit: (auditOptions: AuditOptions) => auditImages(context, auditOptions),
    /** At start, before anything else: puts right what a loss of power has damaged. */
    recover: () => context.durability.recover(context),
    /** Drops what nothing needs. With `containers`, at start, also writable layers of containers that do not exist. */
    collect: (collectOptions?: CollectOptions) => collect(context, collectOptions),
  };
}

function idOf({ store }: ImageContext, ref: string): Digest | undefined {
  try {
    return findImage(store, ref).target.digest;
  } catch {
    return undefined;
  }
}

function limitOrNone(snapshotter: Snapshotter, options: Readonly<Record<string, string>>): PrepareOptions {
  try {
    const limit = snapshotter.limitFor(options);
    return limit === undefined ? {} : { limit };
  } catch {
    return {};
  }
}

function containerLayers(context: ImageContext) {
  const { snapshotter } = context;
  return {
    driver: snapshotter.driver,
    /** Storage options that the driver refuses are left to the start, as Docker does. */
    create: async (containerId: string, image: ImageForRun | undefined, options: Readonly<Record<string, string>> = {}): Promise<void> => {
      const limit = limitOrNone(snapshotter, options);
      if (!image) return snapshotter.prepare(containerId, undefined, limit);
      const found = context.documents.image(image.manifest);
      if (context.layers.isUnpacked(found)) return snapshotter.prepare(containerId, image.chainId, limit);
      await context.layers.unpack(found);
      await snapshotter.prepare(containerId, image.chainId, limit);
    },
    limitFor: (options: Readonly<Record<string, string>>): number | undefined => snapshotter.limitFor(options),
    limitOf: (containerId: string): number | undefined => snapshotter.limitOf(containerId),
    /** What makes the root file system, without mounting it. Once disposed, it is there only for who has mounted it. */
    open: async (containerId: string): Promise<AsyncDisposable & { mounts: RootfsMount[] }> => {
      const attached = await snapshotter.attach?.(containerId);
      return { mounts: snapshotter.mounts(containerId), [Symbol.asyncDispose]: async () => attached?.[Symbol.asyncDispose]() };
    },
    /** The same of drivers that need no opening. */
    mounts: (containerId: string): RootfsMount[] => snapshotter.mounts(containerId),
    /** The same of a container that is not made. Its image's layers are unpacked if they are not yet: they are the image's. */
    planned: async (containerId: string, image: ImageForRun | undefined): Promise<RootfsMount[]> => {
      if (!image) return snapshotter.planned(containerId);
      const found = context.documents.image(image.manifest);
      if (!context.layers.isUnpacked(found)) await context.layers.unpack(found);
      return snapshotter.planned(containerId, image.chainId);
    },
    /** There is a writable layer. */
    has: (containerId: string): boolean => snapshotter.list().some(({ key }) => key === containerId),
    /** Idempotent. */
    remove: async (containerId: string): Promise<void> => {
      await snapshotter.remove(containerId);
      if (context.orphaned) await collect(context);
    },
    settled: (): Promise<void> => roomIsBack(context),
    changes: (containerId: string): Promise<SnapshotChange[]> => snapshotter.diff(containerId),
    commit: (request: CommitRequest): Promise<Digest> => commitImage(context, request),
    /** Bytes of the writable layer, and of it with all below; 0 for one that another driver made. */
    size: async ({ id, storageDriver = snapshotter.driver }: { id: string; storageDriver?: string }): Promise<{ writable: number; total: number }> => {
      if (storageDriver !== snapshotter.driver) return { writable: 0, total: 0 };
      const { bytes: writable } = await snapshotter.usage(id);
      let total = writable;
      for (let parent = snapshotter.parentOf(id); parent !== undefined; parent = snapshotter.parentOf(parent)) total += await context.layers.layerBytes(parent as Digest);
      return { writable, total };
    },
  };
}
