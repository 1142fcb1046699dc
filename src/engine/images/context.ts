/** What each use case of images works with. */
import type { DatabaseSync } from "node:sqlite";
import type { ContentStore } from "../../core/content.ts";
import type { EventSink } from "../../core/events.ts";
import type { ImageUser } from "../../core/image.ts";
import type { Registries } from "../../core/registry.ts";
import type { Snapshotter } from "../../core/snapshotter.ts";
import type { Digest } from "../../lib/digest.ts";
import type { Limiter } from "../../lib/limiter.ts";
import type { Platform } from "../../lib/platform.ts";
import type { Documents } from "./documents.ts";
import type { Durability } from "./durability.ts";
import type { Layers } from "./layers.ts";
import type { Leases } from "../../core/leases.ts";
import type { Downloads } from "./pull/downloads.ts";
import type { UnfinishedPulls } from "./pull/unfinished.ts";
import type { ImageStore } from "./store.ts";
import type { SummaryCache } from "./summary.ts";

export interface ImageServiceOptions {
  database: DatabaseSync;
  content: ContentStore;
  snapshotter: Snapshotter;
  events: EventSink;
  /** Of the machine that containers run on. */
  host: Platform;
  /** Containers made from the image with this id. */
  containersUsing: (imageId: Digest) => ImageUser[];
  /** Another one when what containersUsing answers may have changed. Absent: lists are made anew each time. */
  containersGeneration?: () => number;
  /** Told of what could not be tidied up; it is tried again at the next occasion. */
  warn?: (message: string) => void;
  /** Where images are pulled from; absent: only what the installation brings. */
  registries?: Registries;
  /** Layers that are downloaded at once, 3 unless told. */
  concurrentDownloads?: number;
  /** Blobs that are uploaded at once, 5 unless told. */
  concurrentUploads?: number;
  /** Of the machine: another one after each start of it. */
  bootId?: string;
  /** Archives that this installation brings, by canonical name ("docker.io/library/hello-world:latest"): a pull of that name loads them. */
  embedded?: Readonly<Record<string, string>>;
}

export interface ImageContext extends ImageServiceOptions {
  store: ImageStore;
  documents: Documents;
  layers: Layers;
  downloads: Downloads;
  unfinished: UnfinishedPulls;
  summaries: SummaryCache;
  durability: Durability;
  leases: Leases;
  uploads: Limiter;
  /** There are layers that only containers stand on: their images are gone. */
  orphaned: boolean;
}
